import { IsNotEmpty, IsString, MaxLength } from 'class-validator';
import { IsOneLine, Trimmed } from '../validation/text.js';

export class CreateCommentDto {
  @Trimmed()
  @IsOneLine()
  @MaxLength(60)
  author!: string;

  @Trimmed()
  @IsString()
  @IsNotEmpty()
  @MaxLength(2_000)
  text!: string;
}
