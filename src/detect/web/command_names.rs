//! Names of programs, by what it means to find one where a value should be.

use super::list::names;

// Programs an attacker runs first: they tell about the machine, reach out or read.
names!(pub(super) RISKY, "\
    init telinit convert whoami id uname ifconfig ipconfig netstat systeminfo nc ncat netcat nslookup wget curl ping ping6 bash sh \
    zsh ksh dash cmd cmd.exe powershell powershell.exe pwsh telnet tftp ftp perl python python2 python3 ruby php \
    sleep cat type more less head tail tac nl od xxd base64 rev strings ls dir pwd hostname ps w who last env \
    printenv set net reg wmic tasklist certutil bitsadmin mshta rundll32 regsvr32 cscript schtasks sc rm del \
    chmod chown kill killall shutdown reboot mkfifo mknod socat dig host traceroute tracert useradd adduser \
    passwd sudo su crontab at find grep awk gawk sed echo printf touch mv cp tar zip dd mount df du lsof ss ip \
    arp route iptables ver vol tree which whereis locate lua node java gcc nohup exec eval source export history \
    finger nmap ssh scp sftp rsync mail sendmail xterm busybox timeout date uptime free lscpu dmesg get-process \
    start start-sleep invoke-webrequest iex iwr invoke-expression phpinfo system getent lsb_release ftype for if \
    while true false test sort diff cut sdiff ed vi vim jobs command compgen alias emacs rsh rlogin rcp mysql \
    psql sqlite3 mysqldump openssl gdb strace service systemctl fetch lynx links aria2c axel apt yum pip sysinfo \
    expr tr xargs time nice netsh taskkill attrib icacls fsutil vssadmin bcdedit wevtutil msiexec copy xcopy \
    robocopy notepad usleep print tee stat sha1sum md5sum groups mapfile read trap unlink cd pushd popd apt-get \
    aptitude ash csh tcsh bzip2 cc chroot clang cpio csplit dmidecode dpkg egrep fgrep gzip gunzip zcat hexdump \
    hping3 iconv irb jjs jrunscript journalctl ldconfig ltrace lwp-request lwp-download mawk mtr nawk nsenter \
    pkexec readelf rlwrap rpm rview rvim shuf smbclient sshpass stdbuf sysctl tclsh tcpdump tmux unshare unzip \
    uudecode uuencode vipw wc xz xzcat zgrep zypper sha256sum findstr forfiles assoc mklink pathping runas setx \
    takeown tskill nbtstat getmac gpresult driverquery dsquery nltest cmdkey installutil msbuild regasm wscript \
    esentutl diskpart qprocess quser openfiles winrm doskey rmdir mkdir ln basename dirname seq yes tput unset \
    ulimit umask readlink realpath mktemp getopts declare");

// Of those, the ones that need no arguments to tell something, and are no words of prose.
names!(pub(super) TELLING, "\
    sysinfo whoami id uname ifconfig ipconfig netstat systeminfo hostname pwd ls dir phpinfo env printenv ps \
    tasklist ver lsof dmesg lscpu arp set reboot w who last df uptime history bash sh lsb_release date free");

// Programs of ordinary pipelines: behind a pipe they mean little.
names!(pub(super) FILTERS, "\
    grep awk gawk sed sort cut head tail less more find echo date true false test for if while diff tar zip cp \
    mv touch vim vi tree sudo set export source start node java at last who w host mail service command free \
    links exec eval pip apt yum python python3 php ruby perl base64 xxd od nl tac rev systemctl openssl mysql \
    psql which type route fetch history alias jobs kill locate strings ssh ip ss sc ed net cd wc gzip gunzip \
    zcat egrep fgrep unzip mkdir rmdir ln seq basename dirname mktemp readlink realpath xz rpm dpkg apt-get tmux \
    unset umask ulimit declare hexdump shuf iconv journalctl sha256sum pushd popd");

// Of the risky ones, those that are words of languages people write: they need more than their name.
names!(pub(super) WORDS, "\
    init convert id more less head tail cat type rev strings last who w set net at find sort cut test true false for if while \
    touch kill shutdown reboot sleep host mail finger fetch links history date uptime free service command \
    source export alias jobs start node java ruby python perl php tree route which locate time ping curl bash \
    echo env ip ed apt mount dig timeout system vol reg zip tar dash exec eval du su od nl ps nice copy print \
    read groups stat tee trap arp ss sc diff grep axel pip tr hostname whereis mysql cmd shell vim vi sudo cd cc \
    ln seq yes declare basename dirname mkdir rmdir wc xz rpm ash unset screen");

/// Whether a program is called as usual, without a sign that would tell: `net user`, `reg query`.
pub(super) fn usual(name: &str, arguments: &str) -> bool {
    const CALLS: [(&str, &[&str]); 10] = [
        ("net", &["user", "view", "use", "localgroup", "group", "share", "start", "stop", "session", "accounts"]),
        ("reg", &["query", "add", "delete", "save", "export"]),
        ("sc", &["query", "config", "create", "start", "stop", "delete", "qc"]),
        ("ps", &["aux", "ax", "ef", "-"]),
        ("if", &["exist ", "[", "not exist"]),
        ("ip", &["addr", "route", "link", "a"]),
        ("cmd", &["/c", "/k"]),
        ("service", &["--status-all"]),
        ("echo", &["$"]),
        ("bash", &["<<<"]),
    ];
    CALLS.iter().any(|(own, firsts)| {
        *own == name
            && firsts.iter().any(|first| {
                arguments.strip_prefix(first).is_some_and(|rest| {
                    rest.is_empty()
                        || !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric())
                        || first.ends_with(' ')
                })
            })
    })
}
