/** What a bounce is made of. */
export interface BounceParts {
  /** The address it comes to: the envelope sender of the mail. */
  to: string;
  recipient: string;
  /** Of the mail that is returned. */
  messageId: string;
}

const lines = (...all: (string | readonly string[])[]): string => all.flat().join('\r\n');

function returned({ to, recipient, messageId }: BounceParts): string[] {
  return [
    `Return-Path: <${to}>`,
    'From: Shop <news@shop.test>',
    `To: ${recipient}`,
    'Subject: News',
    `Message-ID:`,
    ` ${messageId}`,
    'Date: Thu, 2 May 2030 10:00:00 +0000',
  ];
}

/** As Postfix writes it. */
export function postfixBounce(
  parts: BounceParts,
  {
    status = '5.1.1',
    action = 'failed',
    reply = `550 5.1.1 <${parts.recipient}>: Recipient address rejected: User unknown`,
  } = {},
): string {
  return lines(
    'Return-Path: <>',
    'Date: Thu,  2 May 2030 10:00:07 +0000 (UTC)',
    'From: MAILER-DAEMON@mx.shop.test (Mail Delivery System)',
    'Subject: Undelivered Mail Returned to Sender',
    `To: ${parts.to}`,
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=delivery-status;',
    '\tboundary="4F00A1C2.1746180007/mx.shop.test"',
    '',
    'This is a MIME-encapsulated message.',
    '',
    '--4F00A1C2.1746180007/mx.shop.test',
    'Content-Description: Notification',
    'Content-Type: text/plain; charset=us-ascii',
    '',
    'This is the mail system at host mx.shop.test.',
    '',
    '--4F00A1C2.1746180007/mx.shop.test',
    'Content-Description: Delivery report',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.shop.test',
    'X-Postfix-Queue-ID: 4F00A1C2',
    `X-Postfix-Sender: rfc822; ${parts.to}`,
    'Arrival-Date: Thu,  2 May 2030 10:00:02 +0000 (UTC)',
    '',
    `Final-Recipient: rfc822; ${parts.recipient}`,
    `Original-Recipient: rfc822;${parts.recipient}`,
    `Action: ${action}`,
    `Status: ${status}`,
    'Remote-MTA: dns; mx.readers.test',
    `Diagnostic-Code: smtp; ${reply}`,
    '',
    '--4F00A1C2.1746180007/mx.shop.test',
    'Content-Description: Undelivered Message Headers',
    'Content-Type: text/rfc822-headers',
    '',
    returned(parts),
    '',
    '--4F00A1C2.1746180007/mx.shop.test--',
    '',
  );
}

/** As Exim writes it today: Status says nothing, and the reply everything. */
export function eximBounce(parts: BounceParts): string {
  return lines(
    `X-Failed-Recipients: ${parts.recipient}`,
    'Auto-Submitted: auto-replied',
    'From: Mail Delivery System <Mailer-Daemon@mx.shop.test>',
    `To: ${parts.to}`,
    'Content-Type: multipart/report; report-type=delivery-status; boundary=1746180007-eximdsn-1804289383',
    'MIME-Version: 1.0',
    'Subject: Mail delivery failed: returning message to sender',
    '',
    '--1746180007-eximdsn-1804289383',
    'Content-type: text/plain; charset=us-ascii',
    '',
    'A message that you sent could not be delivered to one or more of its',
    'recipients. This is a permanent error.',
    '',
    '--1746180007-eximdsn-1804289383',
    'Content-type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.shop.test',
    '',
    'Action: failed',
    `Final-Recipient: rfc822;${parts.recipient}`,
    'Status: 5.0.0',
    'Remote-MTA: dns; mx.readers.test',
    'Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does',
    ' not exist.',
    '',
    '--1746180007-eximdsn-1804289383',
    'Content-type: message/rfc822',
    '',
    returned(parts),
    '',
    'Hello.',
    '',
    '--1746180007-eximdsn-1804289383--',
    '',
  );
}

/** As Exim wrote it before it knew RFC 3464, and does where it is told to. */
export function plainEximBounce(parts: BounceParts): string {
  return lines(
    `X-Failed-Recipients: ${parts.recipient}`,
    'Auto-Submitted: auto-replied',
    'From: Mail Delivery System <Mailer-Daemon@mx.shop.test>',
    `To: ${parts.to}`,
    'Subject: Mail delivery failed: returning message to sender',
    '',
    'This message was created automatically by mail delivery software.',
    '',
    'A message that you sent could not be delivered to one or more of its',
    'recipients. This is a permanent error. The following address(es) failed:',
    '',
    `  ${parts.recipient}`,
    '    host mx.readers.test [192.0.2.7]',
    `    SMTP error from remote mail server after RCPT TO:<${parts.recipient}>:`,
    '    550 5.1.1 unknown user',
    '',
    '------ This is a copy of the message, including all the headers. ------',
    '',
    returned(parts),
    '',
    'Hello.',
    '',
  );
}

/** As Exchange Online writes it. */
export function exchangeBounce(parts: BounceParts): string {
  return lines(
    'From: Microsoft Outlook <postmaster@readers.test>',
    `To: <${parts.to}>`,
    'Subject: Undeliverable: News',
    'Auto-Submitted: auto-replied',
    'X-Auto-Response-Suppress: DR, OOF, AutoReply',
    'Content-Type: multipart/report; report-type=delivery-status;',
    '\tboundary="_0001_ABCD_"',
    'MIME-Version: 1.0',
    '',
    '--_0001_ABCD_',
    'Content-Type: multipart/alternative; boundary="_0002_"',
    '',
    '--_0002_',
    'Content-Type: text/html; charset="us-ascii"',
    '',
    "<p>Your message wasn't delivered.</p>",
    '',
    '--_0002_--',
    '',
    '--_0001_ABCD_',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns;AM0PR01MB0001.eurprd01.prod.exchangelabs.test',
    'Received-From-MTA: dns;mx.shop.test',
    'Arrival-Date: Thu, 2 May 2030 10:00:02 +0000',
    '',
    `Final-Recipient: rfc822;${parts.recipient}`,
    'Action: failed',
    'Status: 5.4.1',
    'Diagnostic-Code: smtp;550 5.4.1 Recipient address rejected: Access denied.',
    ' [AM0PR01MB0001.eurprd01.prod.exchangelabs.test]',
    '',
    '--_0001_ABCD_',
    'Content-Type: message/rfc822',
    '',
    returned(parts),
    '',
    'Hello.',
    '',
    '--_0001_ABCD_--',
    '',
  );
}

/** As Gmail writes it about a mailbox that is full. */
export function gmailBounce(parts: BounceParts): string {
  return lines(
    `Delivered-To: ${parts.to}`,
    'From: Mail Delivery Subsystem <mailer-daemon@googlemail.test>',
    'To: bounces@elsewhere.test',
    'Auto-Submitted: auto-replied',
    'Subject: Delivery Status Notification (Failure)',
    'References: <x@shop.test>',
    `X-Failed-Recipients: ${parts.recipient}`,
    'Content-Type: multipart/report; boundary="000000000000abcdef"; report-type=delivery-status',
    '',
    '--000000000000abcdef',
    'Content-Type: multipart/related; boundary="000000000000fedcba"',
    '',
    '--000000000000fedcba',
    'Content-Type: text/plain; charset="UTF-8"',
    '',
    '** Recipient inbox full **',
    '',
    '--000000000000fedcba--',
    '--000000000000abcdef',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; googlemail.test',
    'Arrival-Date: Thu, 02 May 2030 03:00:02 -0700 (PDT)',
    '',
    `Final-Recipient: rfc822; ${parts.recipient}`,
    'Action: failed',
    'Status: 5.2.2',
    'Diagnostic-Code: smtp; 552-5.2.2 The email account that you tried to reach is over quota.',
    'Last-Attempt-Date: Thu, 02 May 2019 03:00:04 -0700 (PDT)',
    '',
    '--000000000000abcdef',
    'Content-Type: message/rfc822',
    '',
    returned(parts),
    '',
    '--000000000000abcdef--',
    '',
  );
}

/** As qmail writes it: no MIME at all. */
export function qmailBounce(parts: BounceParts): string {
  return lines(
    'Return-Path: <>',
    `From: MAILER-DAEMON@mx.readers.test`,
    `To: ${parts.to}`,
    'Subject: failure notice',
    '',
    'Hi. This is the qmail-send program at mx.readers.test.',
    "I'm afraid I wasn't able to deliver your message to the following addresses.",
    "This is a permanent error; I've given up. Sorry it didn't work out.",
    '',
    `<${parts.recipient}>:`,
    '192.0.2.7 does not like recipient.',
    'Remote host said: 550 5.1.1 No such user',
    '',
    '--- Below this line is a copy of the message.',
    '',
    returned(parts),
    '',
    'Hello.',
    '',
  );
}

/** A feedback loop's report, in which the recipient is blacked out. */
export function complaint(parts: BounceParts, { type = 'abuse' } = {}): string {
  return lines(
    'From: <feedback@loop.test>',
    'To: <abuse@shop.test>',
    'Subject: FW: News',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=feedback-report; boundary="part1"',
    '',
    '--part1',
    'Content-Type: text/plain; charset="US-ASCII"',
    '',
    'This is an email abuse report.',
    '',
    '--part1',
    'Content-Type: message/feedback-report',
    '',
    `Feedback-Type: ${type}`,
    'User-Agent: SomeGenerator/1.0',
    'Version: 1',
    `Original-Mail-From: <${parts.to}>`,
    'Arrival-Date: Thu, 2 May 2019 10:05:00 +0000',
    'Source-IP: 192.0.2.1',
    '',
    '--part1',
    'Content-Type: message/rfc822',
    '',
    returned({ ...parts, recipient: 'redacted@loop.test' }),
    '',
    'Hello.',
    '--part1--',
    '',
  );
}

/** Somebody is on holiday. */
export function autoReply({ to }: BounceParts): string {
  return lines(
    'From: Ann <ann@readers.test>',
    `To: ${to}`,
    'Subject: Out of office',
    'Auto-Submitted: auto-replied',
    'Content-Type: text/plain',
    '',
    'I am away.',
    '',
  );
}
