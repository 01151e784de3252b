import { IsEmail } from 'class-validator';

export class CreateInvoiceDto {
  @IsEmail({}, { message: '$property must be an email address' })
  email!: string;
}
