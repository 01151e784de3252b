/** A mail that a server could not deliver, and its words. */
export interface Undelivered {
  /** Of the recipient. */
  address: string;
  /** Its Message-ID header, angle brackets included. */
  messageId: string;
  /** Its envelope sender, which it comes back to. */
  sender: string;
  /** RFC 3463. */
  status: string;
  reply: string;
}

/** What a mail server sends back to the sender of a mail: a delivery status notification (RFC 3464). */
export function returnedMail({ address, messageId, sender, status, reply }: Undelivered): string {
  const boundary = 'returned';
  return [
    'From: Mail Delivery System <MAILER-DAEMON@mx.example.com>',
    `To: ${sender}`,
    'Subject: Undelivered Mail Returned to Sender',
    `Date: ${new Date().toUTCString()}`,
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain; charset=utf-8',
    '',
    `The mail to ${address} could not be delivered: ${reply}`,
    '',
    `--${boundary}`,
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.example.com',
    '',
    `Final-Recipient: rfc822; ${address}`,
    'Action: failed',
    `Status: ${status}`,
    `Diagnostic-Code: smtp; ${reply}`,
    '',
    `--${boundary}`,
    'Content-Type: text/rfc822-headers',
    '',
    `Message-ID: ${messageId}`,
    `To: ${address}`,
    '',
    `--${boundary}--`,
    '',
  ].join('\r\n');
}
