import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const entries = ['src/index.ts', 'src/testing/index.ts'];
const typed = ['src', 'test', 'sample-app', 'bench'].map((folder) => `${folder}/**/*.ts`);

export default defineConfig(
  globalIgnores(['**/dist/', '**/coverage/', '**/node_modules/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },

  {
    files: [...typed, '*.config.ts'],
    extends: [js.configs.recommended, tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        // The last are the values that Nest's ConfigurableModuleBuilder makes only for the sake of their types.
        { argsIgnorePattern: '^_', ignoreRestSiblings: true, varsIgnorePattern: '^(ASYNC_)?OPTIONS_TYPE$' },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // `async` also promises that a function never throws synchronously; an await is not what it is for.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: { '@typescript-eslint/no-explicit-any': 'error' },
  },
  {
    files: ['src/**/*.ts'],
    ignores: entries,
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ExportAllDeclaration, ExportNamedDeclaration[source]',
          message:
            'Only src/index.ts and src/testing/index.ts re-export; import the name from the file that declares it.',
        },
      ],
    },
  },
  {
    files: entries,
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportAllDeclaration', message: 'The public API is a list of names: export each by its name.' },
      ],
    },
  },
  {
    files: ['sample-app/**/*.ts'],
    rules: {
      'no-console': 'off',
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: '^(\\.\\./){2,}src/', message: "Import 'nestjs-priority-mail', as any application does." },
          ],
        },
      ],
    },
  },
  {
    files: ['bench/**/*.ts', 'src/cli/**/*.ts', 'test/**/*-process.ts', 'test/chaos/main.ts'],
    rules: { 'no-console': 'off' },
  },

  {
    files: ['**/*.js', '**/*.mjs'],
    extends: [js.configs.recommended, tseslint.configs.recommended],
    languageOptions: { ecmaVersion: 2023, sourceType: 'module' },
    // TypeScript's checkJs tells what is defined.
    rules: { eqeqeq: 'error', 'no-undef': 'off' },
  },
);
