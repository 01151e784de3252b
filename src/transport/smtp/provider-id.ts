/**
 * The Message-ID that a provider gave a message in place of its own, where the final reply tells it: Amazon SES and Microsoft
 * 365 do.
 */
export function providerIdOf(reply: string, host: string): string | undefined {
  const microsoft = /^250 2\.0\.0 OK (<[^<>\s]+\.prod\.outlook\.com>)/i.exec(reply)?.[1];
  if (microsoft) return microsoft;
  const local = /^250 Ok ([\da-f]+(?:-[\da-f]+)+)\s*$/i.exec(reply)?.[1];
  const region = /(?:^|\.)([a-z]{2}(?:-[a-z]+)+-\d+)\.(?:[a-z-]+\.)*(?:amazonaws|awsapps)\.com\.?$/i.exec(host)?.[1];
  if (!local || !region) return undefined;
  const domain = region.toLowerCase() === 'us-east-1' ? 'email' : region.toLowerCase();
  return `<${local.toLowerCase()}@${domain}.amazonses.com>`;
}
