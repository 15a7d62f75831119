/**
 * The compiled checks of one set of definitions, or of the profiles above it: from the code on disk where it is there,
 * else compiled when first used. Either way it is the same text, so both behave alike.
 */
import type { AnySchemaObject } from 'ajv';
import type { CodePack, CodeStore } from './code-cache.ts';
import { type CheckFactory, type Compiler, createCompiler, evaluate } from './compile.ts';
import type { Runtime } from './runtime.ts';
import type { TypeCheck } from './type-check.ts';

export type Checks = {
  /** The check by its name; it is loaded, and compiled if need be, when it is first called. */
  check(name: string): TypeCheck;
  /** Whether all of them are on disk. */
  isKept(): boolean;
  /** Compiles what is missing, a little at a time, and keeps it on disk. */
  prepare(names: Iterable<string>): Promise<void>;
};

export type ChecksSource = {
  readonly runtime: () => Runtime;
  schemaOf(name: string): AnySchemaObject;
  readonly store: CodeStore | undefined;
};

export function createChecks({ runtime, schemaOf, store }: ChecksSource): Checks {
  const checks = new Map<string, TypeCheck>();
  /** What was compiled here, to be kept: nothing once it is on disk. As bytes, since V8 keeps a string in its pieces. */
  const compiled = new Map<string, Buffer>();
  let pack: CodePack | undefined;
  let isRead = false;

  function packed(): CodePack | undefined {
    return isRead ? pack : readAgain();
  }

  /** Another thread or process may have kept them meanwhile. */
  function readAgain(): CodePack | undefined {
    pack ??= store?.read();
    isRead = true;
    if (pack !== undefined) compiled.clear();
    return pack;
  }

  function factoryOf(name: string): CheckFactory {
    return packed()?.[name] ?? evaluate(sourceOf(name));
  }

  function sourceOf(name: string): string {
    const present = compiled.get(name);
    if (present !== undefined) return present.toString();
    const source = sharedCompiler()(schemaOf(name));
    if (store !== undefined) compiled.set(name, Buffer.from(source));
    return source;
  }

  return {
    check(name) {
      const present = checks.get(name);
      if (present !== undefined) return present;
      const check = onFirstCall(() => factoryOf(name)(runtime()));
      checks.set(name, check);
      return check;
    },
    isKept: () => packed() !== undefined,
    async prepare(names) {
      if (readAgain() !== undefined) return;
      for (const name of names) {
        if (!compiled.has(name)) {
          sourceOf(name);
          await nextTurn();
        }
      }
      store?.write(compiled);
      readAgain();
    },
  };
}

function onFirstCall(load: () => TypeCheck): TypeCheck {
  let loaded: TypeCheck | undefined;
  const check: TypeCheck = (data, context) => {
    loaded ??= load();
    if (loaded(data, context)) return true;
    check.errors = loaded.errors ?? null;
    return false;
  };
  return check;
}

// Requests are answered between one type and the next.
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

let compiler: WeakRef<Compiler> | undefined;

/** Making one takes as long as compiling a type with it; it is not kept when there is nothing more to compile. */
export function sharedCompiler(): Compiler {
  const present = compiler?.deref();
  if (present !== undefined) return present;
  const made = createCompiler();
  compiler = new WeakRef(made);
  return made;
}
