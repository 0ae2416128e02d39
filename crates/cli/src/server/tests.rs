use super::*;
use crate::usage::Answer;

fn greeting(name: &'static str) -> Server {
    fn greet(_: http::Request<rserve_http::RequestBody>) -> http::Response<String> {
        http::Response::new("hello".to_owned())
    }
    Server::new().app(name, App::blocking(greet))
}

fn sources(server: &Server, words: &[&str]) -> Result<Sources, Answer> {
    let words = [&["rserve"], words].concat().into_iter().map(OsString::from);
    Sources::new(server.settings(), words, Path::new("/nonexistent"), |_| None)
}

#[track_caller]
fn refused(server: Server, words: &[&str], exit: Exit, text: &str) {
    let sources = sources(&server, words).ok().unwrap();
    let error = server.serve(sources).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.exit()), (text, exit));
    assert!(text.lines().count() <= 2);
}

#[test]
fn an_unknown_class_lists_those_there_are() {
    refused(
        Server::new(),
        &["-k", "gthread"],
        Exit::Usage,
        "no worker class 'gthread' (there are: sync, threaded, async)\nhint: gunicorn's classes with threads, real or green, \
         are 'threaded' here",
    );
}

#[test]
fn sync_with_several_threads_is_threaded() {
    for (words, class) in [
        (&[][..], "sync"),
        (&["--threads", "1"], "sync"),
        (&["--threads", "2"], "threaded"),
        (&["-k", "sync", "--threads", "2"], "threaded"),
        (&["-k", "threaded"], "threaded"),
        (&["-k", "async", "--threads", "2"], "async"),
    ] {
        let server = Server::new();
        let said = sources(&server, words).ok().unwrap().read().unwrap();
        assert_eq!(server.resolve(&said.flags).unwrap().1.name, class, "{words:?}");
    }
}

#[test]
fn an_unknown_app_lists_those_there_are() {
    refused(greeting("hello"), &["hullo"], Exit::AppLoad, "no app 'hullo' (there are: hello, demo)");
}

#[test]
fn a_python_app_is_told_where_it_stands() {
    let text = "'shop:app' names a Python app, and this build has no Python in it: it serves apps written in Rust\nhint: \
                the rserve of the Python wheel serves it: `pip install` crates/python of the sources into the app's \
                virtual environment";
    refused(Server::new(), &["shop:app"], Exit::AppLoad, text);
}

#[test]
fn the_first_app_added_is_served_when_none_is_named() {
    for (server, typed, served) in [
        (Server::new(), None, "demo"),
        (greeting("hello"), None, "hello"),
        (greeting("hello").app("other", demo::app()), Some("other"), "other"),
        (greeting("hello"), Some("demo"), "demo"),
        (greeting("shop:app"), Some("shop:app"), "shop:app"),
    ] {
        let words: Vec<&str> = typed.into_iter().collect();
        let flags = sources(&server, &words).ok().unwrap().read().unwrap().flags;
        assert_eq!(server.find_app(&flags).unwrap().unwrap().name, served);
    }
}

struct Nowhere;

impl Loader for Nowhere {
    fn load(&self, name: &str, _: &LoaderSettings) -> Result<App, BootError> {
        Err(BootError::app(format!("no {name} anywhere")))
    }
}

#[test]
fn a_name_that_was_not_added_is_the_loaders() {
    for flag in ["--preload", "--check-config"] {
        refused(Server::new().loader(Nowhere), &[flag, "shop"], Exit::AppLoad, "no shop anywhere");
    }
}

#[test]
fn a_flag_for_python_is_refused_with_another_app() {
    let text = "--env is for Python apps, and 'demo' is none";
    refused(Server::new().loader(Nowhere), &["-e", "A=B"], Exit::Usage, text);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let text = "cannot change to the folder /nonexistent: no such file or directory";
    refused(Server::new(), &["--chdir", "/nonexistent"], Exit::Usage, text);
}

#[test]
fn the_help_names_the_worker_classes() {
    let Err(Answer::Shown(help)) = sources(&Server::new(), &["--help"]) else { panic!("--help shows no help") };
    assert!(help.contains("sync, "), "{help}");
}

#[test]
#[should_panic(expected = "two apps named demo")]
fn two_apps_of_one_name_are_a_mistake_in_the_program() {
    let _ = greeting("demo");
}
