import { Transform } from 'class-transformer';
import { Matches } from 'class-validator';

export const Trimmed = (): PropertyDecorator =>
  Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? value.trim() : value));

export const IsOneLine = (): PropertyDecorator =>
  Matches(/^\P{Cc}+$/u, { message: '$property must be one line of text' });
