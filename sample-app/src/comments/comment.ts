export interface Comment {
  postId: string;
  author: string;
  text: string;
  writtenAt: Date;
}
