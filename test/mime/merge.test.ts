import { describe, expect, it } from 'vitest';
import type { Content } from '../../src/message/message.js';
import { compileContent, compileText, MergeError, type Place } from '../../src/mime/merge.js';

const merge = (
  template: string,
  context: object = {},
  options: { place?: Place; group?: object; missing?: 'empty' } = {},
) =>
  compileText(
    template,
    options.place ?? 'text',
    options.missing ?? 'error',
  )({ context: context as Record<string, unknown>, group: (options.group ?? {}) as Record<string, unknown> });

describe('a merge field', () => {
  it.each([
    ['Hi {{name}}!', { name: '이순신' }, 'Hi 이순신!'],
    ['{{ name }}{{name}}', { name: 'Ann' }, 'AnnAnn'],
    ['{{a.b.c}}', { a: { b: { c: 'deep' } } }, 'deep'],
    ['{{a.0}}', { a: ['first'] }, 'first'],
    ['{{이름}} {{first-name}} {{_x$}}', { 이름: '순신', 'first-name': 'Ann', _x$: '!' }, '순신 Ann !'],
    ['{{n}} {{zero}} {{no}} {{empty}}', { n: 1.5, zero: 0, no: false, empty: '' }, '1.5 0 false '],
  ])('is filled in: %s', (template, context, expected) => {
    expect(merge(template, context)).toBe(expected);
  });

  it('is literal behind a backslash', () => {
    expect(merge('\\{{name}} is {{name}}', { name: 'Ann' })).toBe('{{name}} is Ann');
    expect(merge('\\{{', {})).toBe('{{');
  });

  it.each(['{{}}', '{name}', '{{a b}}', '{{#if x}}', '{{> x}}', '{{a.}}', '{{a', '{{{x'])(
    'is not %s, which stays',
    (text) => {
      expect(merge(text)).toBe(text);
    },
  );

  it('is not looked for in what was filled in', () => {
    expect(merge('{{a}}', { a: '{{b}} \\{{', b: 'secret' })).toBe('{{b}} \\{{');
    expect(merge('{{a}}', { a: "$& $' $1" }, { place: 'html' })).toBe('$&amp; $&#39; $1');
  });

  it('finds the recipient’s own value first, then the group’s', () => {
    const group = { name: 'Acme', company: { name: 'Acme' } };
    expect(merge('{{name}} of {{company.name}}', { name: 'Ann' }, { group })).toBe('Ann of Acme');
    expect(merge('{{name}}', { name: null }, { group })).toBe('Acme');
  });
});

describe('escaping', () => {
  const value = `<b onclick="x('y')">&`;

  it('depends on the place', () => {
    expect(merge('{{v}}', { v: value }, { place: 'text' })).toBe(value);
    expect(merge('{{v}}', { v: value }, { place: 'html' })).toBe('&lt;b onclick=&quot;x(&#39;y&#39;)&quot;&gt;&amp;');
    expect(merge('{{v}}', { v: value }, { place: 'header' })).toBe(value);
  });

  it('is for what is filled in, never for the template', () => {
    expect(merge('<p title="{{v}}">', { v: '"' }, { place: 'html' })).toBe('<p title="&quot;">');
  });

  it('takes line breaks and controls out of header values', () => {
    expect(merge('Hi {{v}}', { v: 'Ann\r\nBcc: eve@evil.test\0' }, { place: 'header' })).toBe(
      'Hi Ann Bcc: eve@evil.test ',
    );
    expect(merge('{{v}}', { v: 'a\r\nb' }, { place: 'text' })).toBe('a\nb');
  });
});

describe('three braces', () => {
  const link = `<a href="https://shop.test/?a=1&b='2'">Link</a>`;

  it('put a value into HTML as it is', () => {
    expect(merge('<p>{{{link}}}</p>', { link }, { place: 'html' })).toBe(`<p>${link}</p>`);
    expect(merge('{{{ a.link }}}{{a.link}}', { a: { link: '<' } }, { place: 'html' })).toBe('<&lt;');
    expect(merge('{{{v}}}', { v: 'a\r\nb\rc' }, { place: 'html' })).toBe('a\nb\nc');
    expect(merge('{{{v}}}', { v: '{{w}}{{{w}}}', w: 'secret' }, { place: 'html' })).toBe('{{w}}{{{w}}}');
  });

  it('are like two in text and headers', () => {
    for (const place of ['text', 'header'] as const) {
      expect(merge('[{{{v}}}]', { v: link }, { place })).toBe(`[${link}]`);
    }
    expect(merge('{{{v}}}', { v: 'Ann\r\nBcc: eve@evil.test' }, { place: 'header' })).toBe('Ann Bcc: eve@evil.test');
    expect(merge('{{{v}}}', { v: 'a\r\nb' }, { place: 'text' })).toBe('a\nb');
  });

  it.each([
    ['{{{x}}', '{5'],
    ['{{x}}}', '5}'],
    ['{{{{x}}}}', '{5}'],
    ['{{{ x}}}}', '5}'],
    ['\\{{{x}}}', '{{{x}}}'],
    ['\\{{x}}{{{x}}}', '{{x}}5'],
    ['{{{}}}', '{{{}}}'],
    ['{{{#x}}}', '{{{#x}}}'],
  ])('are read as far as they are a field: %s', (template, expected) => {
    expect(merge(template, { x: 5 }, { place: 'html' })).toBe(expected);
  });

  it('need a value as well', () => {
    expect(() => merge('{{{x}}}', {}, { place: 'html' })).toThrow('The merge field {{x}} has no value');
    expect(merge('[{{{x}}}]', {}, { place: 'html', missing: 'empty' })).toBe('[]');
    expect(() => merge('{{{x}}}', { x: {} }, { place: 'html', missing: 'empty' })).toThrow('is not text');
  });
});

describe('a header that a value makes', () => {
  const fill = compileText('Hi {{ name }}!', 'header', 'error');
  const data = (name: string) => ({ context: { name }, group: {}, recipient: 'ann@mail.test' });

  it('may be long, but has no word that no line can hold', () => {
    const words = 'word '.repeat(1_000);
    expect(fill(data(words))).toBe(`Hi ${words}!`);
    const longest = 'x'.repeat(899);
    expect(fill(data(longest))).toBe(`Hi ${longest}!`);
    expect(() => fill(data('x'.repeat(901)))).toThrow(
      'The merge field {{name}} makes no header for ann@mail.test: it must not contain a word of more than 900 characters',
    );
    expect(fill(data('Ann'))).toBe('Hi Ann!');
  });

  it('is the fault of the longest of them', () => {
    const context = { a: 'Ann', b: 'x'.repeat(950), c: 'Cat' };
    expect(() => merge('{{a}} {{b}} {{c}}', context, { place: 'header' })).toThrow(
      'The merge field {{b}} makes no header',
    );
  });
});

describe('a field without a value', () => {
  it.each([
    'missing',
    'none',
    'a.missing',
    'name.length',
    'constructor.name',
    'toString',
    '__proto__.x',
    'a.hasOwnProperty',
  ])('is an error by default: %s', (field) => {
    const fill = () => merge(`{{${field}}}`, { none: null, a: {}, name: 'Ann' });
    expect(fill).toThrow(MergeError);
    expect(fill).toThrow(`The merge field {{${field}}} has no value for this recipient`);
  });

  it('is told with the recipient, where that is known', () => {
    const fill = compileText('{{x.y}}', 'text', 'error');
    expect(() => fill({ context: {}, group: {}, recipient: 'ann@mail.test' })).toThrow(
      'The merge field {{x.y}} has no value for ann@mail.test',
    );
    expect(() => fill({ context: { x: { y: [] } }, group: {}, recipient: 'ann@mail.test' })).toThrow(
      'The merge field {{x.y}} is not text for ann@mail.test; name one of its fields',
    );
  });

  it('is a permanent fault of that recipient', () => {
    try {
      merge('{{x}}');
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ field: 'x', permanent: true, outcome: 'not-sent', code: 'MERGE' });
    }
  });

  it('is nothing where missing fields may be empty', () => {
    expect(merge('[{{x}}{{a.b.c}}]', { a: null }, { missing: 'empty' })).toBe('[]');
  });

  it.each([[{}], [['a']], [{ toString: () => 'x' }]])('is one that holds an object, in any case: %j', (value) => {
    expect(() => merge('{{v}}', { v: value }, { missing: 'empty' })).toThrow(
      'is not text for this recipient; name one of its fields',
    );
  });
});

describe('compileContent', () => {
  const content: Content = {
    from: { name: '{{company}}', address: 'news@{{domain}}' },
    replyTo: [{ name: 'Help', address: '{{help}}' }],
    subject: 'Hi {{name}}',
    text: 'Dear {{name}}',
    html: '<p>{{name}}</p>',
    headers: [['X-Post', '{{post.id}}']],
    attachments: [{ content: Buffer.from('{{name}}'), disposition: 'attachment' }],
  };
  const context = {
    name: '<Ann>\n',
    company: 'Acme\r\n',
    domain: 'acme.test',
    help: 'help@acme.test',
    post: { id: 7 },
  };

  it('fills in every place, each time anew, and leaves attachments alone', () => {
    const fill = compileContent(content, 'error');
    expect(fill({ context, group: {} })).toEqual({
      from: { name: 'Acme ', address: 'news@acme.test' },
      replyTo: [{ name: 'Help', address: 'help@acme.test' }],
      subject: 'Hi <Ann> ',
      text: 'Dear <Ann>\n',
      html: '<p>&lt;Ann&gt;\n</p>',
      headers: [['X-Post', '7']],
      attachments: content.attachments,
    });
    expect(fill({ context: { ...context, name: 'Bob' }, group: {} }).subject).toBe('Hi Bob');
    expect(content.subject).toBe('Hi {{name}}');
  });

  it('keeps a body that is absent absent', () => {
    const { text: _text, html: _html, ...rest } = content;
    expect(compileContent(rest, 'error')({ context, group: {} })).not.toHaveProperty('text');
  });

  it.each(['eve@evil.test, bob', 'acme.test>\r\nBcc: eve@evil.test', 'acme test', ''])(
    'refuses a sender that %j makes no address of',
    (domain) => {
      const fill = compileContent(content, 'empty');
      expect(() => fill({ context: { ...context, domain }, group: {} })).toThrow('makes no address for this recipient');
    },
  );
});
