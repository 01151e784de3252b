import { Transform, Type } from 'class-transformer';
import { ArrayMaxSize, IsArray, IsOptional, IsString, Matches, MaxLength, ValidateNested } from 'class-validator';
import { RecipientDto } from 'nestjs-priority-mail';

const Trimmed = (): PropertyDecorator =>
  Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? value.trim() : value));
const IsOneLine = (): PropertyDecorator => Matches(/^\P{Cc}+$/u, { message: '$property must be one line of text' });

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

  /** Sends a preview to these instead of a notification to the followers. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(20)
  @ValidateNested({ each: true })
  @Type(() => RecipientDto)
  preview?: RecipientDto[];
}
