export interface Post {
  id: string;
  author: string;
  title: string;
  text: string;
  publishedAt: Date;
}
