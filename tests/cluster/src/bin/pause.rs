//! What holds a pod's namespaces open: sleeps until it is killed. Static, so that it is an image's only file.

fn main() {
    loop {
        std::thread::park();
    }
}
