/** How the elements of a type stand in XML: order, names, and which are attributes. From the definitions of R4. */
import type { Definitions } from '../definitions.ts';
import { primitives } from '../validation/primitives.ts';
import { type ElementForm, formsUnder } from '../validation/schema.ts';

export const FHIR_NAMESPACE = 'http://hl7.org/fhir';
export const XHTML_NAMESPACE = 'http://www.w3.org/1999/xhtml';

/** One element, or one type of a choice: `valueQuantity`. Its name is the JSON key. */
export type XmlChild = {
  readonly name: string;
  /** JSON key of id and extensions beside a primitive value. */
  readonly sibling?: string;
  readonly isList: boolean;
  readonly kind: 'attribute' | 'primitive' | 'xhtml' | 'resource' | 'content';
  /** FHIR type of a primitive. */
  readonly type: string;
  /** Where the elements below it are defined; 'Element' for a primitive. */
  readonly path: string;
  /** The step of a FHIRPath that leads to it. */
  readonly step: string;
};

export type XmlLayout = {
  /** In the order in which they are written, attributes first. */
  readonly children: readonly XmlChild[];
  readonly byName: ReadonlyMap<string, XmlChild>;
};

/** The layout under a type name or the path of a backbone element; each is made once. */
export type XmlLayouts = (path: string) => XmlLayout;

export function xmlLayouts(definitions: Definitions): XmlLayouts {
  const layouts = new Map<string, XmlLayout>();
  return (path) => {
    let layout = layouts.get(path);
    if (layout === undefined) {
      layout = layoutOf(path, definitions);
      layouts.set(path, layout);
    }
    return layout;
  };
}

function layoutOf(path: string, definitions: Definitions): XmlLayout {
  const all = formsUnder(path, definitions).flatMap((form) =>
    form.types.map((type) => childOf(form, type, definitions)),
  );
  const children = [
    ...all.filter(({ kind }) => kind === 'attribute'),
    ...all.filter(({ kind }) => kind !== 'attribute'),
  ];
  return { children, byName: new Map(children.map((child) => [child.name, child])) };
}

function childOf(
  { name, element, types }: ElementForm,
  { type, key, sibling }: ElementForm['types'][number],
  definitions: Definitions,
): XmlChild {
  const kind = kindOf(type.code, element.bare === true, definitions);
  const isBackbone = type.code === 'BackboneElement' || type.code === 'Element';
  return {
    name: key,
    ...(sibling === undefined ? {} : { sibling }),
    isList: element.max > 1,
    kind,
    type: type.code,
    path: kind === 'primitive' ? 'Element' : isBackbone ? element.path : type.code,
    step: types.length > 1 ? `.${name}.ofType(${type.code})` : `.${name}`,
  };
}

function kindOf(code: string, isBare: boolean, definitions: Definitions): XmlChild['kind'] {
  if (isBare) return 'attribute';
  if (code === 'xhtml') return 'xhtml';
  if (code in primitives) return 'primitive';
  return code === 'Resource' || definitions.isResourceType(code) ? 'resource' : 'content';
}
