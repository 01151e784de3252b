import { isEmail } from 'class-validator';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressKey, isMailAddress, parseAddresses } from '../../src/message/address.js';

const read = (input: unknown) => parseAddresses(input, 'to');
const addressesOf = (input: unknown) => read(input).addresses;
const faultsOf = (input: unknown) => read(input).faults.map(({ path, message }) => `${path}: ${message}`);

describe('parseAddresses', () => {
  it.each([
    ['a plain address', 'ann@mail.test', [{ name: '', address: 'ann@mail.test' }]],
    ['a name', 'Ann Lee <ann@mail.test>', [{ name: 'Ann Lee', address: 'ann@mail.test' }]],
    ['a quoted name with a comma', '"Lee, Ann" <ann@mail.test>', [{ name: 'Lee, Ann', address: 'ann@mail.test' }]],
    ['an object', { name: '이순신', address: 'lee@mail.test' }, [{ name: '이순신', address: 'lee@mail.test' }]],
    ['an object without a name', { address: 'ann@mail.test' }, [{ name: '', address: 'ann@mail.test' }]],
    ['nothing', undefined, []],
    ['an empty list', [], []],
  ])('reads %s', (_, input, expected) => {
    expect(read(input)).toEqual({ addresses: expected, faults: [] });
  });

  it('reads a comma list, and lists inside a list', () => {
    const addresses = [
      { name: '', address: 'ann@mail.test' },
      { name: 'Lee, Bob', address: 'bob@mail.test' },
      { name: '', address: 'cy@mail.test' },
    ];
    expect(addressesOf('ann@mail.test, "Lee, Bob" <bob@mail.test>,cy@mail.test')).toEqual(addresses);
    expect(addressesOf(['ann@mail.test, "Lee, Bob" <bob@mail.test>', { address: 'cy@mail.test' }])).toEqual(addresses);
  });

  it('takes the members of a group, and refuses an empty group', () => {
    expect(addressesOf('Team: ann@mail.test, Bob <bob@mail.test>; cy@mail.test').map((a) => a.address)).toEqual([
      'ann@mail.test',
      'bob@mail.test',
      'cy@mail.test',
    ]);
    expect(faultsOf('undisclosed-recipients:;')).toEqual(['to: "undisclosed-recipients:;" is not an address']);
  });

  it('names the place of each address that is none', () => {
    expect(faultsOf(['ann@mail.test', 'nobody', { address: 'Ann <ann@mail.test>' }, 7, null])).toEqual([
      'to[1]: "nobody" is not an address',
      'to[2]: "Ann <ann@mail.test>" is not an address',
      'to[3]: must be a string or { name, address }',
      'to[4]: must be a string or { name, address }',
    ]);
    expect(faultsOf('ann@mail.test, nobody')).toEqual(['to: "nobody" is not an address']);
    expect(faultsOf('')).toEqual(['to: "" is not an address']);
  });

  it.each(['\r\nBcc: eve@evil.test', '\n', '\r', '\0', '\u0085'])('lets no line break or control %j in', (breaker) => {
    expect(faultsOf(`ann@mail.test${breaker}`)).toHaveLength(1);
    expect(faultsOf(`Ann${breaker} <ann@mail.test>`)).toHaveLength(1);
    expect(faultsOf({ name: `Ann${breaker}`, address: 'ann@mail.test' })).toHaveLength(1);
    expect(faultsOf({ name: 'Ann', address: `ann@mail.test${breaker}` })).toHaveLength(1);
    expect(faultsOf({ name: 'Ann', address: `ann${breaker}@mail.test` })).toHaveLength(1);
  });

  it('loses no address for the want of a comma', () => {
    expect(faultsOf('ann@mail.test bob@mail.test')).toEqual([
      'to: "ann@mail.test bob@mail.test" lacks a comma between its addresses',
    ]);
    expect(addressesOf('"ann@mail.test" <bob@mail.test>')).toEqual([
      { name: 'ann@mail.test', address: 'bob@mail.test' },
    ]);
  });

  it('limits the length of a name', () => {
    expect(faultsOf({ name: '이'.repeat(255), address: 'ann@mail.test' })).toEqual([]);
    expect(faultsOf(`${'x'.repeat(256)} <ann@mail.test>`)).toEqual([expect.stringContaining('at most 255 characters')]);
  });

  it('replaces lone surrogates in a name', () => {
    expect(addressesOf({ name: 'Ann \ud83d', address: 'ann@mail.test' })[0]?.name).toBe('Ann \ufffd');
  });

  it('takes merge fields in an address only where they will be filled in', () => {
    const sender = { name: '{{shop}}', address: 'news@{{company.domain}}' };
    expect(parseAddresses(sender, 'from', true)).toEqual({ addresses: [sender], faults: [] });
    expect(parseAddresses(sender, 'from').faults).toHaveLength(1);
  });

  it.each([
    ['{{email}}', { name: '', address: '{{email}}' }],
    ['{{ author.email }}', { name: '', address: '{{author.email}}' }],
    ['{{shop}} <{{email}}>', { name: '{{shop}}', address: '{{email}}' }],
    ['{{ shop }} <{{ local }}@{{ domain }}>', { name: '{{shop}}', address: '{{local}}@{{domain}}' }],
    ['news@{{ domain }}', { name: '', address: 'news@{{domain}}' }],
  ])('takes %s for one address where merge fields are allowed', (input, address) => {
    expect(parseAddresses(input, 'from', true)).toEqual({ addresses: [address], faults: [] });
    expect(parseAddresses([address], 'from', true)).toEqual({ addresses: [address], faults: [] });
  });

  it.each(['news@{{domain', 'shop', '{{}}', '{{a}} {{b}}', 'a b@{{domain}}.'])(
    'refuses %s even where merge fields are allowed',
    (input) => {
      expect(parseAddresses(input, 'from', true).faults).toHaveLength(1);
    },
  );

  it('shows only the start of something long', () => {
    expect(faultsOf('x'.repeat(100_000))[0]?.length).toBeLessThan(150);
  });
});

describe('isMailAddress', () => {
  it.each([
    'ann@mail.test',
    "o'hara+news_2@mail.test",
    'root@localhost',
    '이순신@mail.test',
    'ann@우편.한국',
    'ann@xn--vo5bi2v.xn--3e0b707e',
    'ann@[127.0.0.1]',
    'ANN@MAIL.TEST',
  ])('takes %s', (address) => {
    expect(isMailAddress(address)).toBe(true);
  });

  it.each([
    'ann',
    'ann@',
    '@mail.test',
    'ann@bob@mail.test',
    '.ann@mail.test',
    'ann@mail..test',
    'ann@-mail.test',
    'a nn@mail.test',
    '"ann"@mail.test',
    '"ann@evil.test"@mail.test',
    '<ann@mail.test>',
    'ann@mail.test,bob@mail.test',
    'ann@[IPv6:2001:db8::1]',
    `${'x'.repeat(65)}@mail.test`,
    `ann@${'x'.repeat(64)}.test`,
    'ann\ud83d@mail.test',
  ])('refuses %s', (address) => {
    expect(isMailAddress(address)).toBe(false);
  });

  it.each(['"ann@evil.test"@mail.test', '"ann@evil.test x"@mail.test', '"ann" <"a@evil.test"@mail.test>'])(
    'never takes a part of the quoted local part in %s for the address',
    (address) => {
      expect(addressesOf(address)).toEqual([]);
      expect(faultsOf(address)).toHaveLength(1);
    },
  );
});

describe('addressKey', () => {
  it('ignores case in domains, not in local parts', () => {
    expect(addressKey('Ann@MAIL.Test')).toBe('Ann@mail.test');
  });
});

describe('an address that looks like most', () => {
  it('is one by all the rules', () => {
    const label = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/);
    const local = fc.stringMatching(/^[\w.+-]{1,40}$/);
    const address = fc
      .tuple(local, fc.array(label, { minLength: 1, maxLength: 4 }))
      .map(([a, b]) => `${a}@${b.join('.')}`);
    fc.assert(
      fc.property(address, (value) => {
        if (isMailAddress(value)) expect(isEmail(value, { require_tld: false, allow_ip_domain: true })).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });
});
