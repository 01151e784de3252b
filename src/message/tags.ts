/** The names of the tags by which a provider's report is matched with the mail that it is about. */
export const ID_TAG = 'mail-id';
export const CAMPAIGN_TAG = 'campaign-id';

/** What providers take in names and values of tags: Amazon SES and Resend, which allow the least. */
export const TAG_TEXT = /^[A-Za-z0-9_-]{1,256}$/;

/** An id as a tag's value: what is not allowed there is a `_` and its code in hexadecimal, and so is a `_` that looks like one. */
export function tagValue(id: string): string {
  return id.replace(
    /[^A-Za-z0-9_-]|_(?=[\da-f]{2})/g,
    (char) => `_${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** The id behind a tag's value. */
export function idOfTag(value: string): string {
  return value.replace(/_([\da-f]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}
