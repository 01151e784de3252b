import { IsEmail } from 'class-validator';

export class CreatePasswordResetDto {
  @IsEmail({}, { message: '$property must be an email address' })
  email!: string;
}
