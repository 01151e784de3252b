/** Of SNS in this region, written as SNS does: anything else may be read one way here and another way elsewhere. */
export function snsUrl(given: string, region: string): URL | undefined {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const host = `sns.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
  if (!url || url.host !== host || url.protocol !== 'https:') return undefined;
  return given.startsWith(`https://${host}/`) && url.hash === '' && url.username === '' ? url : undefined;
}
