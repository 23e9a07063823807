import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

const SSHD = '/usr/sbin/sshd';
/** A root sshd wants it; package scripts make it at boot. */
const PRIVILEGE_SEPARATION = '/run/sshd';

export const hasSshd = existsSync(SSHD);

/**
 * A real sshd on a port of loopback that the system chooses, with keys and configuration of its own: each connection gets an
 * `sshd -i`, as from inetd, so that no daemon can be left behind.
 */
export class Sshd {
  /** For ssh -F: hosts alpha and beta are this sshd, gamma is a port where nobody listens. */
  readonly config: string;
  readonly folder: string;
  readonly #server: Server;
  readonly #children = new Set<ChildProcess>();
  readonly #madeSeparation: boolean;
  log = '';

  static async start(): Promise<Sshd> {
    const folder = mkdtempSync(join(tmpdir(), 'lockstep-sshd-'));
    const server = createServer({ pauseOnConnect: true });
    const closed = createServer();
    await listening(server);
    await listening(closed);
    const { port: nobody } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    return new Sshd(folder, server, nobody);
  }

  private constructor(folder: string, server: Server, nobody: number) {
    this.folder = folder;
    this.#server = server;
    this.#madeSeparation = userInfo().uid === 0 && !existsSync(PRIVILEGE_SEPARATION);
    if (this.#madeSeparation) mkdirSync(PRIVILEGE_SEPARATION, { mode: 0o755 });
    const { port } = server.address() as AddressInfo;
    const file = (name: string) => join(folder, name);
    for (const key of ['host', 'user']) {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(key)]);
    }
    writeFileSync(file('authorized'), readFileSync(file('user.pub')));
    writeFileSync(file('known'), `[127.0.0.1]:${port} ${readFileSync(file('host.pub'), 'utf8')}`);
    writeFileSync(
      file('sshd_config'),
      `HostKey ${file('host')}\nAuthorizedKeysFile ${file('authorized')}\nStrictModes no\nUsePAM no\nPidFile none\n`,
    );
    this.config = file('ssh_config');
    const common = `HostName 127.0.0.1\nUser ${userInfo().username}\nIdentityFile ${file('user')}\nIdentitiesOnly yes\nUserKnownHostsFile ${file('known')}\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n`;
    writeFileSync(this.config, `Host alpha beta\nPort ${port}\n${common}\nHost gamma\nPort ${nobody}\n${common}`);
    server.on('connection', (socket) => this.#serve(socket));
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#children.size;
  }

  /** Ends all connections that are open. */
  cut(): void {
    for (const child of this.#children) child.kill();
  }

  async close(): Promise<void> {
    this.#server.close();
    await Promise.all(
      [...this.#children].map(
        (child) =>
          new Promise((resolve) => {
            child.once('close', resolve);
            child.kill();
          }),
      ),
    );
    rmSync(this.folder, { recursive: true });
    if (this.#madeSeparation) rmdirSync(PRIVILEGE_SEPARATION);
  }

  #serve(socket: Socket): void {
    const child = spawn(SSHD, ['-i', '-e', '-f', join(this.folder, 'sshd_config')], {
      stdio: [socket, socket, 'pipe'],
    });
    this.#children.add(child);
    child.stderr?.on('data', (text) => {
      this.log += text;
    });
    child.once('close', () => this.#children.delete(child));
    socket.destroy(); // it is the child's now
  }
}

function listening(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}
