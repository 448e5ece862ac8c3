//! kubeconfig files: which server, which CA, which credentials.
