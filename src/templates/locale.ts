/**
 * The languages to look for, the best first: `zh-Hant-TW`, `zh-Hant`, `zh`, then those of the default, then undefined for a
 * file without one. In lower case.
 */
export function localeChain(locale: string | undefined, otherwise: string | undefined): (string | undefined)[] {
  return [...new Set([...broader(locale), ...broader(otherwise), undefined])];
}

function broader(locale: string | undefined): string[] {
  if (locale === undefined || locale === '') return [];
  const parts = tagOf(locale).split('-');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('-'));
}

/** A language tag (BCP 47), which `Intl` and HTML's `lang` take: some write `ko_KR`. */
export function languageTag(locale: string): string {
  return locale.replaceAll('_', '-');
}

/** As files are looked up by it: tags mean the same in any case. */
export function tagOf(locale: string): string {
  return languageTag(locale).toLowerCase();
}
