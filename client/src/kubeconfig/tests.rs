use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn pems() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["kubernetes".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\npreferences: {{}}\ncontexts:\n- name: c\n  context: {{cluster: k, user: u, \
         namespace: apps}}\nclusters:\n- name: k\n  cluster:\n{cluster}\nusers:\n- name: u\n  user:\n{user}\n"
    )
}

#[test]
fn inline_data_and_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = pems();
    std::fs::write(folder.path().join("client.key"), &key).unwrap();
    let cluster = format!(
        "    server: https://[::1]:6443/prefix/\n    tls-server-name: kubernetes\n    certificate-authority-data: {}",
        STANDARD.encode(&certificate)
    );
    let user = format!("    client-certificate-data: {}\n    client-key: client.key", STANDARD.encode(&certificate));
    let target = parse(&config(&cluster, &user), folder.path(), None).unwrap();
    assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), ("::1", 6443, "/prefix"));
    assert_eq!((target.ca.len(), target.namespace.as_str()), (1, "apps"));
    assert_eq!(target.tls_server_name.as_deref(), Some("kubernetes"));
    assert_eq!(target.identity.unwrap().chain.len(), 1);
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let server = "    server: https://a:1";
    for (cluster, user, says) in [
        ("    server: https://a:1\n    proxy-url: http://p", "    token: t", "proxy-url"),
        ("    server: ftp://a", "    token: t", "no URL"),
        (server, "    as: admin", "impersonation"),
        (server, "    auth-provider: {name: gcp}", "auth-provider"),
        (server, "    client-certificate-data: YQ==", "go together"),
        (server, "    exec: {apiVersion: v9, command: x}", "apiVersion"),
        ("    server: https://a:1\n    certificate-authority-data: '*'", "    token: t", "base64"),
    ] {
        let error = parse(&config(cluster, user), Path::new("/"), None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = parse(&config(server, "    token: t"), Path::new("/"), Some("other")).unwrap_err();
    assert_eq!(error.to_string(), "context \"other\" does not exist");
}

#[test]
fn secrets_are_not_shown() {
    let target = parse(&config("    server: https://a:1", "    token: swordfish"), Path::new("/"), None).unwrap();
    assert!(matches!(&target.authorization, Authorization::Token(token) if token == "swordfish"));
    assert!(!format!("{target:?}").contains("swordfish"));
}

#[test]
fn the_first_of_several_files_wins() {
    let mut first = file::Config::parse("current-context: c\nusers: null\n", Path::new("/")).unwrap();
    let later =
        config("    server: https://late:1", "    token: t").replace("current-context: c", "current-context: x");
    first.merge(file::Config::parse(&later, Path::new("/")).unwrap());
    assert_eq!(first.target(None).unwrap().host, "late");
}

#[test]
fn a_pod_finds_its_service_account() {
    let folder = tempfile::tempdir().unwrap();
    let missing = in_cluster(folder.path(), |_| None).unwrap_err();
    assert!(missing.to_string().contains("no kubeconfig"), "{missing}");
    std::fs::write(folder.path().join("ca.crt"), pems().0).unwrap();
    std::fs::write(folder.path().join("namespace"), "apps\n").unwrap();
    let env = |name: &str| Some(if name.ends_with("HOST") { "10.0.0.1" } else { "443" }.to_owned());
    let target = in_cluster(folder.path(), env).unwrap();
    assert_eq!((target.host.as_str(), target.port, target.namespace.as_str()), ("10.0.0.1", 443, "apps"));
    assert!(matches!(target.authorization, Authorization::TokenFile(_)));
}

#[tokio::test]
async fn a_plugin_gives_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("plugin");
    let script = "#!/bin/sh\n[ -n \"$KUBERNETES_EXEC_INFO\" ] && [ \"$A\" = b ] && echo \
                  '{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"'$1'\"}}'\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let user = "    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: ./plugin\n      args: [hello]\n      \
                env: [{name: A, value: b}]\n      interactiveMode: Never";
    let target = parse(&config("    server: https://a:1", user), folder.path(), None).unwrap();
    let Authorization::Exec(exec) = target.authorization else { panic!("{:?}", target.authorization) };
    assert_eq!(exec.run().await.unwrap().token.as_deref(), Some("hello"));
    let failing = Exec { env: None, ..*exec };
    assert!(failing.run().await.unwrap_err().to_string().contains("failed"));
}
