export { Mailbox, type ReceivedMail } from './mailbox.js';
