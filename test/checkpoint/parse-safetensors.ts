/**
 * A second reader of safetensors files, from the format's description alone (huggingface.co/docs/safetensors): 8 bytes N,
 * little-endian; N bytes of JSON; the rest is data. It shares nothing with src/checkpoint and is as plain as can be.
 */
export interface ParsedTensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly values: number[];
}

export function parseSafetensors(file: Buffer): {
  tensors: Record<string, ParsedTensor>;
  metadata: Record<string, string>;
} {
  const length = Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  > & { __metadata__?: Record<string, string> };
  const data = file.subarray(8 + length);
  const tensors: Record<string, ParsedTensor> = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    const [begin, end] = data_offsets;
    const values: number[] = [];
    const width = { F32: 4, I32: 4, F64: 8, U8: 1 }[dtype] ?? 0;
    for (let at = begin; at < end; at += width) {
      if (dtype === 'F32') values.push(data.readFloatLE(at));
      else if (dtype === 'I32') values.push(data.readInt32LE(at));
      else if (dtype === 'F64') values.push(data.readDoubleLE(at));
      else if (dtype === 'U8') values.push(data.readUInt8(at));
      else throw new Error(`this reader has no ${dtype}`);
    }
    tensors[name] = { dtype, shape, values };
  }
  return { tensors, metadata };
}
