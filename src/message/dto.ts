import { Type } from 'class-transformer';
import {
  IsArray,
  IsIn,
  IsObject,
  IsOptional,
  IsString,
  Matches,
  MaxLength,
  MinLength,
  ValidateNested,
} from 'class-validator';
import type { AddressInput, AddressesInput } from './address.js';
import {
  AreAddresses,
  AreHeaders,
  AreReplyAddresses,
  IsAddress,
  IsAttachmentContent,
  IsBodyText,
  IsContext,
  IsDuration,
  IsHeaderText,
  IsKey,
  IsLocale,
  IsMoment,
  IsSender,
  IsTemplateName,
  IsUnsubscribe,
} from './constraints.js';
import type { Duration } from './duration.js';
import { CAMPAIGN_ID, LIST_NAME } from './ids.js';
import {
  LANES,
  URGENCIES,
  type AttachmentInput,
  type BulkMailInput,
  type Lane,
  type MailContentInput,
  type MailMessageInput,
  type RecipientInput,
  type Urgency,
} from './message.js';
import type { UnsubscribeInput } from './unsubscribe.js';

/** A type and any number of parameters, such as `text/calendar; method=REQUEST; charset=utf-8`. */
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+(;[ \w.+="'-]*)*$/;
const MEDIA_TYPE_RULE = "must be a media type such as 'application/pdf'";
/** Printable ASCII without the angle brackets that enclose it in its header. */
const CID = /^[!-;=?-~]+$/;
const CID_RULE = 'must be printable ASCII without spaces, < and >';

/** One attachment, for class-validator and `ValidationPipe`. */
export class AttachmentDto implements AttachmentInput {
  @IsOptional() @IsHeaderText() @MaxLength(255) filename?: string;
  @IsOptional() @IsAttachmentContent() content?: NonNullable<AttachmentInput['content']>;
  @IsOptional() @IsString() @MaxLength(4096) path?: string;
  @IsOptional() @IsIn(['utf8', 'base64', 'hex']) encoding?: 'utf8' | 'base64' | 'hex';
  @IsOptional() @Matches(MEDIA_TYPE, { message: MEDIA_TYPE_RULE }) @MaxLength(255) contentType?: string;
  @IsOptional() @Matches(CID, { message: CID_RULE }) @MaxLength(255) cid?: string;
  @IsOptional() @IsIn(['attachment', 'inline']) contentDisposition?: 'attachment' | 'inline';
}

/** What `send()` and `sendBulk()` share. */
export class MailContentDto implements MailContentInput {
  @IsOptional() @IsSender() from?: AddressInput;
  @IsOptional() @AreReplyAddresses() replyTo?: AddressesInput;
  @IsOptional() @IsHeaderText() subject?: string;
  @IsOptional() @IsBodyText() text?: string;
  @IsOptional() @IsBodyText() html?: string;
  @IsOptional() @IsTemplateName() template?: string;
  @IsOptional() @IsContext() context?: Record<string, unknown>;
  @IsOptional() @IsLocale() locale?: string;
  @IsOptional() @AreHeaders() headers?: Record<string, string | string[]>;
  @IsOptional() @IsArray() @ValidateNested({ each: true }) @Type(() => AttachmentDto) attachments?: AttachmentDto[];
  @IsOptional() @IsUnsubscribe() unsubscribe?: UnsubscribeInput;
  @IsOptional() @IsString() @MaxLength(100) transport?: string;
  @IsOptional() @IsMoment() sendAt?: Date | string | number;
  @IsOptional() @IsDuration() delay?: Duration;
  @IsOptional() @IsMoment() expiresAt?: Date | string | number;
  @IsOptional() @IsIn(URGENCIES) urgency?: Urgency;
}

/** A `send()` message, for class-validator and `ValidationPipe`. */
export class MailMessageDto extends MailContentDto implements MailMessageInput {
  @IsOptional() @AreAddresses() to?: AddressesInput;
  @IsOptional() @AreAddresses() cc?: AddressesInput;
  @IsOptional() @AreAddresses() bcc?: AddressesInput;
  @IsOptional() @IsIn(LANES) lane?: Lane;
  @IsOptional() @IsKey() @MinLength(1) @MaxLength(200) idempotencyKey?: string;
}

/** One recipient of a campaign, for class-validator and `ValidationPipe`. */
export class RecipientDto implements RecipientInput {
  @IsAddress() to!: AddressInput;
  @IsOptional() @IsContext() context?: Record<string, unknown>;
  @IsOptional() @IsLocale() locale?: string;
  @IsOptional() @IsKey() group?: string;
  @IsOptional() @IsKey() idempotencyKey?: string;
}

/** The shared part of a `sendBulk()` call: everything but its recipients, signal and callback. */
export class BulkMailDto extends MailContentDto implements Omit<BulkMailInput, 'recipients' | 'signal' | 'onProgress'> {
  @IsOptional()
  @Matches(CAMPAIGN_ID, { message: 'must be 1 to 64 letters, digits, _ or -' })
  id?: string;
  @IsOptional() @IsHeaderText() @MaxLength(200) name?: string;
  @IsOptional()
  @Matches(LIST_NAME, { message: 'must be 1 to 64 letters, digits, ., _ or -' })
  list?: string;
  @IsOptional() @IsObject() groups?: Record<string, Record<string, unknown>>;
  @IsOptional() @IsIn(['error', 'empty']) missingFields?: 'error' | 'empty';
}
