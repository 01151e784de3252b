import type { UnsubscribeTexts } from 'nestjs-priority-mail';

const KOREAN: Partial<UnsubscribeTexts> = {
  lang: 'ko',
  title: '수신 거부',
  listQuestion: '{address} 주소로 “{list}” 메일을 더 이상 받지 않으시겠습니까?',
  confirm: '수신 거부',
  listDone: '{address} 주소로 “{list}” 메일을 더 이상 보내지 않습니다.',
  undo: '다시 구독',
  undone: '{address} 주소로 다시 보내 드립니다.',
};

/** The page that a mail's link leads to, in the reader's language. */
export function unsubscribeTexts(languages = ''): Partial<UnsubscribeTexts> {
  return languages.startsWith('ko') ? KOREAN : {};
}
