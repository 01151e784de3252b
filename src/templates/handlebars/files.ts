import { readdir, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { tagOf } from '../locale.js';

/** Which part of a mail a file makes: `.hbs` the HTML, `.txt.hbs` or `.txt` the text. */
export type Format = 'html' | 'text';

const ENDINGS: Record<Format, readonly string[]> = { html: ['.hbs'], text: ['.txt.hbs', '.txt'] };
const FORMATS = Object.keys(ENDINGS) as Format[];
const ENDING = /(\.txt)?\.hbs$|\.txt$/;
/** A language tag before the ending: two or three letters and what else there is, such as `.ko` or `.zh-Hant-TW`. */
const TAG = /\.[a-z]{2,3}([-_][a-z\d]{2,8})*$/i;

/** The templates below a folder, as they were when it was read. What is not among them cannot be rendered. */
export class TemplateFiles {
  /** The language tags that any file has, in lower case. */
  readonly languages: ReadonlySet<string>;

  private constructor(
    readonly dir: string,
    /** Absolute paths, by the path below the folder with its language tag in lower case. */
    private readonly paths: ReadonlyMap<string, string>,
    /** Differs when a file was added, removed or changed. */
    readonly stamp: string,
  ) {
    this.languages = new Set(this.all().flatMap(({ locale }) => locale ?? []));
  }

  /**
   * @param dir absolute
   * @param apart folders below it whose files are something else
   * @throws what `readdir` throws
   */
  static async read(dir: string, apart: readonly string[] = []): Promise<TemplateFiles> {
    const paths = new Map<string, string>();
    const stamps: string[] = [];
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const name = relative(dir, path).split(sep).join('/');
      if (!ENDING.test(name) || isHidden(name) || apart.some((other) => isBelow(path, other))) continue;
      // Follows links: a mounted ConfigMap consists of them.
      const found = await stat(path).catch(() => undefined);
      if (!found?.isFile()) continue;
      paths.set(keyOf(name), path);
      stamps.push(`${name} ${found.mtimeMs} ${found.size}`);
    }
    return new TemplateFiles(dir, paths, stamps.sort().join('\n'));
  }

  static none(dir: string): TemplateFiles {
    return new TemplateFiles(dir, new Map(), '');
  }

  /** The file of a name in the first of these languages that has one. */
  find(name: string, format: Format, locales: readonly (string | undefined)[]): string | undefined {
    return this.candidates(name, format, locales)
      .map(keyOf)
      .filter((key) => formatOf(key) === format)
      .map((key) => this.paths.get(key))
      .find((path) => path !== undefined);
  }

  /** The paths below the folder that `find` looks for, in its order. */
  candidates(name: string, format: Format, locales: readonly (string | undefined)[]): string[] {
    return locales.flatMap((locale) =>
      ENDINGS[format].map((ending) => `${name}${locale === undefined ? '' : `.${locale}`}${ending}`),
    );
  }

  /** Whether there is a file of this name, in whatever language. */
  has(name: string): boolean {
    return [...this.paths.keys()].some((key) => {
      const bare = key.replace(ENDING, '');
      return bare === keyOf(name) || bare.replace(TAG, '') === name;
    });
  }

  /** The languages that a template is there in, beside the files without one. */
  languagesOf(name: string): string[] {
    return [...this.languages].filter((locale) =>
      FORMATS.some((format) => this.find(name, format, [locale]) !== undefined),
    );
  }

  /** Each file with the part of a mail it makes, and its language. */
  all(): { path: string; format: Format; locale?: string }[] {
    return [...this.paths].map(([key, path]) => {
      const [tag] = TAG.exec(key.replace(ENDING, '')) ?? [];
      return { path, format: formatOf(key), ...(tag === undefined ? {} : { locale: tag.slice(1) }) };
    });
  }

  /** The templates of one format, or of both, without language and ending. */
  names(format?: Format): string[] {
    const keys = [...this.paths.keys()].filter((key) => format === undefined || formatOf(key) === format);
    return [...new Set(keys.map((key) => key.replace(ENDING, '').replace(TAG, '')))].sort();
  }
}

function formatOf(path: string): Format {
  return ENDINGS.text.some((ending) => path.endsWith(ending)) ? 'text' : 'html';
}

function keyOf(path: string): string {
  const [ending = ''] = ENDING.exec(path) ?? [];
  return path.slice(0, path.length - ending.length).replace(TAG, tagOf) + ending;
}

function isHidden(name: string): boolean {
  return name.split('/').some((part) => part.startsWith('.'));
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
