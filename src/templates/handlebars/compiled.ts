import type Handlebars from 'handlebars';
import { MailError, reasonOf } from '../../errors.js';
import { templateError } from '../render.js';
import type { Format } from './files.js';

export interface CompiledOptions {
  handlebars: typeof Handlebars;
  /** The file it comes from, for errors. */
  path: string;
  /** Lines of that file before the text. */
  skipped: number;
  /** Of the HTML, values are escaped. */
  format: Format;
  strict: boolean;
  /** Where its partials are, for errors. */
  partialsDir: string;
}

/** A piece of template text, compiled when it is first needed and then kept. */
export class Compiled {
  private program: hbs.AST.Program | undefined;
  private delegate: Handlebars.TemplateDelegate | undefined;

  constructor(
    private readonly text: string,
    private readonly options: CompiledOptions,
  ) {}

  /** @throws MailError `TEMPLATE` with file and line */
  render(context: unknown, runtime: Handlebars.RuntimeOptions): string {
    const { handlebars } = this.options;
    const program = this.parse();
    return this.locating('cannot be rendered', () => {
      this.delegate ??= handlebars.compile(program, this.compileOptions) as Handlebars.TemplateDelegate;
      return this.delegate(context, runtime);
    });
  }

  /** Compiles it to the end, which Handlebars else does at the first rendering. @throws MailError `TEMPLATE` */
  compile(): hbs.AST.Program {
    const program = this.parse();
    this.locating('is broken', () => this.options.handlebars.precompile(program, this.compileOptions));
    return program;
  }

  private parse(): hbs.AST.Program {
    return (this.program ??= this.locating('is broken', () => this.options.handlebars.parse(this.text)));
  }

  private locating<T>(what: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      // A partial inside has told its own place.
      if (error instanceof MailError) throw error;
      const { path, skipped, partialsDir } = this.options;
      const line = lineOf(error);
      const place = line === undefined ? '' : `, line ${line + skipped},`;
      const where = NO_PARTIAL.test(reasonOf(error)) ? `: looked in ${partialsDir}` : '';
      throw templateError(`The template ${path}${place} ${what}: ${wordsOf(error)}${where}`, error);
    }
  }

  private get compileOptions(): { noEscape: boolean; strict: boolean } {
    return { noEscape: this.options.format === 'text', strict: this.options.strict };
  }
}

const NO_PARTIAL = /^The partial .* could not be found$/;

/** The parser tells its line in words alone. */
function lineOf(error: unknown): number | undefined {
  const { lineNumber } = error as { lineNumber?: unknown };
  if (typeof lineNumber === 'number') return lineNumber;
  const [, line] = /^Parse error on line (\d+)/.exec(reasonOf(error)) ?? [];
  return line === undefined ? undefined : Number(line);
}

const MAX_REASON = 300;

/** On one line, without the place. A parser's first lines show the text around it. */
function wordsOf(error: unknown): string {
  const lines = reasonOf(error).split('\n');
  const words = (/^(Parse|Lexical) error/.test(lines[0]!) ? lines.at(-1)! : lines.join(' ')).replace(/ - \d+:\d+$/, '');
  return words.length > MAX_REASON ? `${words.slice(0, MAX_REASON)}…` : words;
}
