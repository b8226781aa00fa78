//! Private PostgreSQL servers for tests: each in a folder of its own, on a free port, gone when the test process is.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where Debian puts PostgreSQL, a directory for each version; `PORTCULLIS_POSTGRES_BIN` names another place of its programs.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Runs the server until its standard input ends, which it does when the test process dies, however it dies.
const KEEPER: &str = r#"
"$BIN/postgres" -D "$DIR/data" -p "$PORT" -k "$DIR" -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60 \
  -c shared_buffers=32MB -c logging_collector=off >"$DIR/log" 2>&1 &
server=$!
echo $server >"$DIR/server.pid"
read -r word
kill -CONT $server 2>/dev/null
kill -QUIT $server 2>/dev/null
wait $server
[ "$word" = keep ] || rm -rf "$DIR"
"#;

/// One server.
pub struct Postgres {
    directory: PathBuf,
    port: u16,
    keeper: Option<Child>,
}

/// The server that tests share which do not disturb it.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

impl Postgres {
    /// Makes and starts one; takes about a second.
    pub fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("portcullis-postgres-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("a folder");
        if let Some((uid, gid)) = postgres_user() {
            chown(&directory, Some(uid), Some(gid)).expect("the folder given to the server's user");
        }
        let made = as_server_user(&bin("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(directory.join("data"))
            .current_dir(&directory)
            .stdout(Stdio::null())
            .status()
            .expect("initdb runs");
        assert!(made.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let mut server = Self { directory, port, keeper: None };
        server.run();
        server
    }

    /// Starts it again after `stop`, on the same port with the same data.
    pub fn run(&mut self) {
        let keeper = as_server_user(Path::new("/bin/sh"))
            .args(["-c", KEEPER])
            .env("BIN", bin(""))
            .env("DIR", &self.directory)
            .env("PORT", self.port.to_string())
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        self.keeper = Some(keeper);
        wait_until("PostgreSQL answers", || self.sql("postgres", "SELECT 1").is_some());
    }

    /// Ends it at once, as a crash of the server would; its data stay.
    pub fn stop(&mut self) {
        self.end("keep\n");
    }

    /// Stops every process of it: connections stay open and nobody answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after `freeze`.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Makes a database and gives its URL.
    pub fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\"")).expect("the database is made");
        self.url(name)
    }

    /// Makes a database nobody has used and gives its URL.
    pub fn new_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        self.database(&format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    /// The URL of a database.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs SQL from outside; `None` when that failed.
    pub fn sql(&self, database: &str, sql: &str) -> Option<String> {
        TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let done = Command::new(bin("psql"))
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(database)])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .expect("psql runs");
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.directory.join("server.pid")).expect("a process id");
        // The first one first when stopping, so that it makes no more; each backend is a group of its own.
        let script = "kill -$0 $1 || exit 1; for child in $(pgrep -P $1); do kill -$0 $child 2>/dev/null; done; true";
        let done = Command::new("/bin/sh").args(["-c", script, signal, pid.trim()]).status().expect("sh runs");
        assert!(done.success(), "signal {signal}");
    }

    fn end(&mut self, word: &str) {
        if let Some(mut keeper) = self.keeper.take() {
            if let Some(mut input) = keeper.stdin.take() {
                // A keeper that is gone already has nothing to be told.
                input.write_all(word.as_bytes()).unwrap_or_default();
            }
            keeper.wait().expect("the server ends");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end("remove\n");
        fs::remove_dir_all(&self.directory).unwrap_or_default();
    }
}

/// Waits for a condition, at most half a minute.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "still waiting: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn bin(program: &str) -> PathBuf {
    std::env::var_os("PORTCULLIS_POSTGRES_BIN").map_or_else(newest, PathBuf::from).join(program)
}

/// The programs of the newest version that is installed.
fn newest() -> PathBuf {
    let installed = fs::read_dir(VERSIONS).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    installed.max_by_key(version).unwrap_or_default().join("bin")
}

/// The server refuses to run as root: then it runs as the user `postgres`.
fn as_server_user(program: &Path) -> Command {
    if postgres_user().is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// User and group of `postgres`, if we are root.
fn postgres_user() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let root = status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    root.then_some((uid, gid))
}
