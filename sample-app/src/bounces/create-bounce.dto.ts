import { IsEmail } from 'class-validator';

export class CreateBounceDto {
  @IsEmail({}, { message: '$property must be an email address' })
  email!: string;
}
