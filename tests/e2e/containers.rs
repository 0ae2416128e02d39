//! The examples for containers say what the program understands, and what docs/kubernetes.md says.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// An example's text.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/k8s").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of an instruction of a Dockerfile in its exec form.
fn words(dockerfile: &str, instruction: &str) -> Vec<String> {
    let text = example(dockerfile);
    let line = text.lines().find_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {instruction}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{instruction} is not in the exec form: {error}"))
}

fn manifests() -> Vec<Value> {
    serde_saphyr::from_multiple(&example("rserve.yaml")).unwrap()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The value of `--flag=value`.
fn setting<'a>(args: &'a [String], flag: &str) -> Option<&'a str> {
    args.iter().find_map(|word| word.strip_prefix(flag)?.strip_prefix('='))
}

#[track_caller]
fn assert_understood(words: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_rserve")).arg("--check-config").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

#[test]
fn the_images_start_the_program_itself_and_not_as_root() {
    for (dockerfile, program) in [("Dockerfile", "/usr/local/bin/rserve"), ("Dockerfile.python", "rserve")] {
        let (entry, mut command) = (words(dockerfile, "ENTRYPOINT"), words(dockerfile, "CMD"));
        assert_eq!(entry[0], program);
        assert!(entry.iter().any(|word| word == "--drain-on-term"));
        // The app is the wheel's to find.
        command.retain(|word| word != "app:app");
        assert_understood(&[&entry[1..], &command].concat());
        let text = example(dockerfile);
        let user = text.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
        // Kubernetes cannot tell whether a name is root's.
        assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    }
}

#[test]
fn the_pods_arguments_are_understood_and_their_time_suffices() {
    let manifests = manifests();
    let [deployment, service] = &manifests[..] else { panic!("{} documents", manifests.len()) };
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let args = strings(&container["args"]);
    assert_understood(&[&words("Dockerfile", "ENTRYPOINT")[1..], &args].concat());

    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let graceful: u64 = setting(&args, "--graceful-timeout").unwrap().parse().unwrap();
    assert!(grace >= graceful + 5, "{grace} s leave no room above {graceful}");
    for probe in ["readinessProbe", "livenessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["path"].as_str(), setting(&args, "--health-path"), "{probe}");
        assert_eq!(get["port"], container["ports"][0]["name"], "{probe}");
    }
    assert_eq!(service["spec"]["ports"][0]["targetPort"], container["ports"][0]["name"]);
    assert_eq!(service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"], service["spec"]["selector"]);
    let port = words("Dockerfile", "ENTRYPOINT").last().unwrap().rsplit(':').next().unwrap().parse().ok();
    assert_eq!(container["ports"][0]["containerPort"].as_u64(), port);
}
