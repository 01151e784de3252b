/** The part of mailparser that tests read; it comes without types. */
declare module 'mailparser' {
  export interface Parsed {
    headers: Map<string, unknown>;
    text?: string;
    html?: string | false;
    attachments: {
      filename?: string;
      contentType: string;
      contentDisposition?: string;
      cid?: string;
      related?: boolean;
      content: Buffer;
    }[];
  }
  export function simpleParser(
    raw: Buffer,
    options: { skipHtmlToText: true; skipTextToHtml: true; keepCidLinks: true },
  ): Promise<Parsed>;
}
