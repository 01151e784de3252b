import { Type } from 'class-transformer';
import { ArrayMaxSize, IsArray, IsOptional, IsString, MaxLength, ValidateNested } from 'class-validator';
import { RecipientDto } from 'nestjs-priority-mail';
import { IsOneLine, Trimmed } from '../validation/text.js';

export class CreatePostDto {
  @Trimmed()
  @IsOneLine()
  @MaxLength(60)
  author!: string;

  @Trimmed()
  @IsOneLine()
  @MaxLength(120)
  title!: string;

  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  text?: string;

  /** Sends a preview to these instead of a notification to the followers; the `name` of a context is greeted. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(20)
  @ValidateNested({ each: true })
  @Type(() => RecipientDto)
  preview?: RecipientDto[];
}
