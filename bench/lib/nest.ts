import 'reflect-metadata';
import { type DynamicModule, type INestApplicationContext, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** Boots an application that consists of these modules. */
export function bootNest(...imports: (DynamicModule | Type)[]): Promise<INestApplicationContext> {
  class AppModule {}
  return NestFactory.createApplicationContext({ module: AppModule, imports }, { logger: ['error', 'fatal'] });
}
