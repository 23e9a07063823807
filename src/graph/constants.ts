import { numberAttr, numbersAttr } from './build.ts';
import { align } from './plan.ts';
import type { Ref } from './program.ts';
import type { Tensor } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** The constants region of one program: tables and literals, equal ones stored once, little-endian. */
export class ConstantPool {
  private readonly known = new Map<string, Ref>();
  private readonly parts: { offset: number; kind: 'f32' | 'i32'; values: readonly number[] }[] = [];
  private size = 0;

  /** i32 dims and strides. */
  table(values: readonly number[]): Ref {
    return this.store('i32', values);
  }

  /** The elements of a 'constant' node. */
  tensor(node: Tensor): Ref {
    const values =
      'values' in node.attrs
        ? numbersAttr(node.attrs, 'values')
        : new Array<number>(sizeOf(node.shape)).fill(numberAttr(node.attrs, 'value'));
    return this.store(node.dtype, values);
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.size);
    const view = new DataView(bytes.buffer);
    for (const { offset, kind, values } of this.parts) {
      for (const [i, value] of values.entries()) {
        if (kind === 'i32') view.setInt32(offset + 4 * i, value, true);
        else view.setFloat32(offset + 4 * i, value, true);
      }
    }
    return bytes;
  }

  private store(kind: 'f32' | 'i32', values: readonly number[]): Ref {
    const key = `${kind}:${values.map((x) => (Object.is(x, -0) ? '-0' : x)).join()}`;
    let ref = this.known.get(key);
    if (ref === undefined) {
      ref = { region: 'constants', offset: this.size };
      this.known.set(key, ref);
      this.parts.push({ offset: this.size, kind, values });
      this.size += align(4 * values.length);
    }
    return ref;
  }
}
