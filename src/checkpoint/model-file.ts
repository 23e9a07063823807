import { damaged } from './damage.ts';
import { parameterTensors, readParameters } from './flat.ts';
import { encodeManifest, type Manifest, parseManifest, tensorTable } from './manifest.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';

/** Key of the manifest in the file's metadata. */
const KEY = 'lockstep';

/** What prediction needs: parameters as one flat vector (see `tensorTable`) and what they mean. */
export interface StoredModel {
  readonly manifest: Manifest;
  readonly parameters: Float32Array;
}

/**
 * A model in one safetensors file: the parameters, readable by everybody, and the manifest in its metadata. Without the
 * optimizer's slots and the paths of the run, so it predicts and warm-starts but does not resume. Runs in browsers.
 */
export function encodeModel({ manifest: { origin: _, nodes: __, ...manifest }, parameters }: StoredModel): Uint8Array {
  const { entries } = tensorTable(manifest);
  return encodeSafetensors(parameterTensors(entries, parameters), { [KEY]: encodeManifest(manifest) });
}

/** @throws E_CHECKPOINT for anything but a file that `encodeModel` wrote. */
export function decodeModel(bytes: Uint8Array, where = 'model file'): StoredModel {
  const file = decodeSafetensors(bytes, where);
  const text = file.metadata.get(KEY);
  if (text === undefined) {
    throw damaged(where, `a manifest in its metadata ("${KEY}")`, 'a safetensors file of another program');
  }
  const manifest = parseManifest(text, `${where}: manifest`);
  return { manifest, parameters: readParameters(tensorTable(manifest).entries, file, where) };
}
