/**
 * The rooms of src/ in the order in which they may use one another: a room may import the rooms of earlier rows and
 * itself, never its neighbours in a row nor what comes after. docs/architecture.md tells why.
 */
const rows = [
  ['errors', 'events'],
  ['newest', 'peer', 'within'],
  ['message'],
  ['store', 'mime', 'templates'],
  ['attachments', 'transport', 'feedback'],
  ['delivery'],
  ['queue'],
  ['nest'],
  ['testing', 'cli'],
];

/** Packages that only some places may import; every other package is free. */
const reserved = [
  { packages: '@nestjs/', places: ['^src/(nest|testing|cli)/'] },
  { packages: 'bullmq', places: ['^src/queue/', '^src/nest/queue[^/]*[.]ts$'] },
  { packages: 'nodemailer', places: ['^src/(transport|mime|message)/'] },
  { packages: 'nodemailer', places: ['^src/(transport|mime)/'], except: '/addressparser/' },
];

const entries = '^src/(testing/)?index[.]ts$';
const rooms = rows.flat();

/** Matches the files of rooms, be a room a folder or a single file. */
const filesOf = (names) => `^src/(${names.join('|')})([.]ts$|/)`;

const roomRules = rows.flatMap((row, index) =>
  row.map((room) => {
    const closed = rows
      .slice(index)
      .flat()
      .filter((other) => other !== room);
    return {
      name: `${room}-imports-only-earlier-rooms`,
      comment: `Imports run one way: ${rows.slice(0, index).flat().join(', ') || 'nothing'} ← ${room}.`,
      severity: 'error',
      from: { path: filesOf([room]) },
      to: { path: closed.length > 0 ? filesOf(closed) : '^$' },
    };
  }),
);

const packageRules = reserved.map(({ packages, places, except }) => ({
  name: `${packages.replace(/\W/g, '')}-only-in-its-rooms`,
  comment: `${packages} may be imported only from ${places.join(', ')}.`,
  severity: 'error',
  from: { path: '^src/', pathNot: places },
  to: { path: `^node_modules/${packages}${packages.endsWith('/') ? '' : '/'}`, ...(except && { pathNot: except }) },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...roomRules,
    ...packageRules,
    {
      name: 'no-cycles',
      comment: 'Two files that need each other are one file, or lack a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unknown-room',
      comment: 'A new room is entered in the rows of this file first.',
      severity: 'error',
      from: { path: '^src/', pathNot: [filesOf(rooms), entries] },
      to: {},
    },
    {
      name: 'no-barrel',
      comment: 'Only the two entries of the package gather names; elsewhere a file is imported by its own name.',
      severity: 'error',
      from: { path: '/index[.][jt]s$', pathNot: entries },
      to: {},
    },
    {
      name: 'nobody-imports-an-entry',
      comment: 'An entry is for users of the package; inside, import the file that declares the name.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: entries },
    },
    {
      name: 'no-unresolvable',
      comment: 'The import leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-package',
      comment: 'A package that src imports stands in dependencies or peerDependencies.',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypesNot: [
          'npm',
          'npm-peer',
          'npm-optional',
          'core',
          'local',
          'localmodule',
          'unknown',
          'undetermined',
        ],
        path: '^node_modules/',
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.build.json' },
    detectProcessBuiltinModuleCalls: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'import', 'node', 'default'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
