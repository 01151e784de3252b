import type { BulkMailInput } from 'nestjs-priority-mail';

/** What followers get. The fields are filled in for each, and escaped for the place they stand in. */
export const POST_MAIL = {
  subject: '{{author}}: {{title}}',
  text: 'Hello {{name}},\n\n{{author}} has published “{{title}}”.\n\n{{text}}\n\nYou get this mail because you follow {{author}}.\n',
  html: `<p>Hello {{name}},</p>
<p>{{author}} has published <strong>{{title}}</strong>.</p>
<p style="white-space: pre-line">{{text}}</p>
<p style="color: #667">You get this mail because you follow {{author}}.</p>`,
  headers: { 'X-Post': '{{id}}' },
} satisfies Partial<BulkMailInput>;
