//! Only a place for the manifest: nothing is built here.
