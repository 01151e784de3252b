import ts from 'typescript';
import { readPage } from '../support/snippets.js';

/**
 * The members of an interface in src, each with the names of its own members where it is an object, or an interface of the
 * same file.
 */
export function membersOf(file: string, name: string): Map<string, string[]> {
  const source = ts.createSourceFile(file, readPage(file), ts.ScriptTarget.Latest);
  const members = membersNamed(source, name);
  if (members.length === 0) throw new Error(`${file} has no interface ${name}`);
  return new Map(members.map(({ name: key, type }) => [nameOf(key), ownMembers(source, type)]));
}

function ownMembers(source: ts.SourceFile, type: ts.TypeNode | undefined): string[] {
  if (!type) return [];
  const members = ts.isTypeLiteralNode(type)
    ? properties(type.members)
    : ts.isTypeReferenceNode(type) && ts.isIdentifier(type.typeName)
      ? membersNamed(source, type.typeName.text)
      : [];
  return [...new Set(members.map((member) => nameOf(member.name)))];
}

/** Of an interface and those that it extends; none where the file does not have it. */
function membersNamed(source: ts.SourceFile, name: string): ts.PropertySignature[] {
  const declaration = source.statements.find(
    (statement) => ts.isInterfaceDeclaration(statement) && statement.name.text === name,
  ) as ts.InterfaceDeclaration | undefined;
  if (!declaration) return [];
  const bases = (declaration.heritageClauses ?? []).flatMap(({ types }) => types);
  const inherited = bases.flatMap(({ expression }) =>
    ts.isIdentifier(expression) ? membersNamed(source, expression.text) : [],
  );
  return [...inherited, ...properties(declaration.members)];
}

function properties(members: ts.NodeArray<ts.TypeElement>): ts.PropertySignature[] {
  return members.filter(ts.isPropertySignature);
}

function nameOf(name: ts.PropertyName): string {
  return (name as ts.Identifier | ts.StringLiteral).text;
}
