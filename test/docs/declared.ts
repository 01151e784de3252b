import ts from 'typescript';
import { readPage } from '../support/snippets.js';

/** The members of an interface in src, each with the names of its own members where it is an object. */
export function membersOf(file: string, name: string): Map<string, string[]> {
  const source = ts.createSourceFile(file, readPage(file), ts.ScriptTarget.Latest);
  const declaration = source.statements.find(
    (statement) => ts.isInterfaceDeclaration(statement) && statement.name.text === name,
  ) as ts.InterfaceDeclaration | undefined;
  if (!declaration) throw new Error(`${file} has no interface ${name}`);
  return new Map(
    properties(declaration.members).map(({ name: key, type }) => [
      nameOf(key),
      type && ts.isTypeLiteralNode(type) ? properties(type.members).map((member) => nameOf(member.name)) : [],
    ]),
  );
}

function properties(members: ts.NodeArray<ts.TypeElement>): ts.PropertySignature[] {
  return members.filter(ts.isPropertySignature);
}

function nameOf(name: ts.PropertyName): string {
  return (name as ts.Identifier | ts.StringLiteral).text;
}
