//! Commands, as `kubectl exec` sends them.

use std::sync::atomic::Ordering;

use client::fake::manual_ambient;
use serde_json::json;

use super::shell::Stdio;
use super::terminal::{Sink, Source};
use super::*;

fn facts() -> PodFacts {
    let pod = json!({
        "metadata": {"uid": "u"},
        "spec": {"containers": [{
            "name": "nginx", "image": "nginx:1.21", "env": [{"name": "COLOR", "value": "a b"}],
            "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
        }]},
        "status": {"podIP": "10.0.0.7"},
    });
    serde_json::from_value(pod).unwrap()
}

fn container(files: &Files) -> Arc<Container> {
    let place = Place { namespace: "default".into(), pod: "web".into(), node: "node-7".into() };
    Arc::new(Container::of(&facts(), place, "nginx", files.clone()).unwrap())
}

/// Code, stdout and stderr of a command.
async fn ran(files: &Files, words: &[&str], stdin: &[u8]) -> (u8, Vec<u8>, String) {
    let mut shell = Shell::new(container(files), manual_ambient(), false);
    let ((stdout, out), (stderr, err)) = (Sink::buffer(), Sink::buffer());
    let io = Stdio { stdin: Source::bytes(stdin.to_vec()), stdout, stderr };
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let code = shell.command(&words, &io).await.unwrap();
    let (out, err) = (out.lock().clone(), err.lock().clone());
    (code, out, String::from_utf8(err).unwrap())
}

async fn script(files: &Files, script: &str, stdin: &str) -> (u8, String, String) {
    let (code, out, err) = ran(files, &["sh", "-c", script], stdin.as_bytes()).await;
    (code, String::from_utf8(out).unwrap(), err)
}

#[tokio::test(start_paused = true)]
async fn scripts_do_what_they_say() {
    for (text, code, stdout) in [
        ("echo hello   world", 0, "hello world\n"),
        ("echo -n 'a  b' \"c $COLOR\" $COLOR", 0, "a  b c a b a b"),
        ("exit 3; echo never", 3, ""),
        ("false; echo $?", 0, "1\n"),
        ("false && echo no || echo yes && echo too", 0, "yes\ntoo\n"),
        ("true || echo no; echo \"${HOSTNAME}!\"", 0, "web!\n"),
        ("A=1; export B=$A$A; echo $B; sh -c 'echo in $B; exit 2'; echo $?", 0, "11\nin 11\n2\n"),
        ("cat", 0, "typed"),
        ("cat - /etc/hostname", 0, "typedweb\n"),
        ("cat | wc -c", 0, "5\n"),
        ("echo one > /tmp/x; echo two >> /tmp/x; cat < /tmp/x | head -n 1", 0, "one\n"),
        ("ls /etc; cd /etc && pwd", 0, "hostname\nhosts\nos-release\n/etc\n"),
        (
            "mkdir -p /a/b; touch /a/b/c; ls -l /a; test -d /a/b && [ -f /a/b/c ] && echo ok",
            0,
            "drwxr-xr-x 1 root root 0 b\nok\n",
        ),
        ("ls /none 2>/dev/null; echo $?", 0, "1\n"),
        ("ls /none 2>&1", 1, "ls: /none: No such file or directory\n"),
        ("date +%s; date", 0, "1767225600\n2026-01-01T00:00:00Z\n"),
        ("sleep 0.5; hostname; whoami; uname", 0, "web\nroot\nLinux\n"),
        ("# a comment\necho 'two'\\\n\" lines\"", 0, "two lines\n"),
        ("printenv COLOR; env | head -n 1", 0, "a b\nCOLOR=a b\n"),
        ("test 1 -lt 2 && test a != b && test -z '' && test ! -e /x; echo $?", 0, "0\n"),
    ] {
        let (got, out, err) = script(&Files::default(), text, "typed").await;
        assert_eq!((got, out.as_str()), (code, stdout), "{text}: {err}");
    }
}

#[tokio::test]
async fn what_is_not_simulated_says_so() {
    for (text, code, complaint) in [
        ("nginx -v", 127, "nginx: not found; nothing runs in a simulated container"),
        ("echo $(date)", 2, "\"$(\" is not simulated"),
        ("sleep 1 &", 2, "\"&\" is not simulated"),
        ("echo 'open", 2, "a quote is not closed"),
        ("echo x >", 2, "a redirection leads nowhere"),
        ("cat /etc", 1, "Is a directory"),
        ("tar czf - /etc", 2, "compression is not simulated"),
    ] {
        let (got, _, err) = script(&Files::default(), text, "").await;
        assert_eq!(got, code, "{text}: {err}");
        assert!(err.contains(complaint), "{text}: {err}");
    }
    let (code, _, err) = ran(&Files::default(), &["bash"], b"echo x\nexit 4\necho y\n").await;
    assert_eq!((code, err.as_str()), (4, ""), "a script may come by stdin");
}

#[tokio::test]
async fn nothing_grows_without_bounds() {
    let doubling = "A=0123456789012345678901234567890123456789;".to_owned() + &"A=$A$A;".repeat(40);
    let (_, _, err) = script(&Files::default(), &doubling, "").await;
    assert!(err.contains("Argument list too long"), "{err}");
    let (_, _, err) = script(&Files::default(), "export A='sh -c \"$A\"'; sh -c \"$A\"", "").await;
    assert!(err.contains("too many shells"), "{err}");
    let spent = Spent::default();
    let files = Files::new(spent.clone());
    let (code, _, err) = script(&files, "cat > /tmp/large", &"x".repeat(2 << 20)).await;
    assert!(code == 1 && err.contains("No space left"), "{err}");
    for at in 0..40 {
        let (_, _, err) = script(&files, &format!("cat > /tmp/{at}"), &"x".repeat(60_000)).await;
        assert_eq!(err.contains("No space left"), at >= 17, "{at}: {err}");
    }
    let before = spent.load(Ordering::Relaxed);
    assert!((900_000..1 << 20).contains(&before), "{before}");
    script(&files, "rm -r /tmp", "").await;
    assert!(spent.load(Ordering::Relaxed) < 2000, "{spent:?}");
    drop(files);
    assert_eq!(spent.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn tar_puts_files_in_and_takes_them_out() {
    let (here, there) = (Files::default(), Files::default());
    let long = format!("/d/{}/f", "n".repeat(120));
    script(
        &here,
        &format!("mkdir -p /d/{}; echo long > {long}; echo short > /d/s; echo empty > /d/e", "n".repeat(120)),
        "",
    )
    .await;
    let (code, archive, err) = ran(&here, &["tar", "cf", "-", "/d"], b"").await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(archive.len() % 512, 0);
    let (code, _, err) = ran(&there, &["tar", "-xmf", "-", "-C", "/tmp"], &archive).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(script(&there, &format!("cat /tmp{long} /tmp/d/s"), "").await.1, "long\nshort\n");
    let (code, _, err) = ran(&there, &["tar", "xf", "-"], b"no archive").await;
    assert_eq!((code, err.as_str()), (0, ""), "nothing whole is in it");
    let (code, _, err) = ran(&there, &["tar", "xf", "-"], &[b'x'; 512]).await;
    assert!(code == 2 && err.contains("does not look like a tar archive"), "{err}");
    let (code, _, _) = ran(&there, &["tar", "xf", "-"], &archive[..archive.len() - 2000]).await;
    assert!(code == 0 || code == 2);
}

#[test]
fn ports_are_those_that_the_pod_names() {
    assert_eq!(facts().listener(80), Some("nginx"));
    assert_eq!((facts().listener(53), facts().listener(81)), (None, None));
}
