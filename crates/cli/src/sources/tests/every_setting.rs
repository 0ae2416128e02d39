//! Each setting through each of its sources.

use super::*;

/// A value for each, other than its default. A new setting is missing here until it has one.
const VALUES: &[(&str, &str)] = &[
    ("access_logfile", "access.log"),
    ("access_logformat", "json"),
    ("backlog", "7"),
    ("bind", "127.0.0.1:7"),
    ("body_timeout", "7"),
    ("capture_output", "true"),
    ("chdir", "folder"),
    ("dogstatsd_tags", "a:b"),
    ("drain_health", "503"),
    ("drain_on_term", "true"),
    ("drain_open", "7"),
    ("drain_quiet", "0.7"),
    ("env", "A=b c"),
    ("forwarded_allow_ips", "10.0.0.7"),
    ("forwarder_headers", "REMOTE_USER"),
    ("graceful_timeout", "7"),
    ("group", "7"),
    ("header_map", "refuse"),
    ("header_timeout", "7"),
    ("health_path", "/health"),
    ("initgroups", "true"),
    ("keep_alive", "7"),
    ("limit_request_field_size", "77"),
    ("limit_request_fields", "7"),
    ("limit_request_line", "77"),
    ("log_file", "log"),
    ("log_format", "json"),
    ("log_level", "debug"),
    ("max_requests", "7"),
    ("max_requests_jitter", "7"),
    ("metrics_bind", "9464"),
    ("name", "shop"),
    ("no_new_privs", "true"),
    ("pid", "pid"),
    ("preload", "true"),
    ("proxy_allow_from", "10.0.0.7"),
    ("proxy_protocol", "v2"),
    ("pythonpath", "folder"),
    ("reload_step", "7"),
    ("reuse_port", "true"),
    ("statsd_host", "127.0.0.1:8125"),
    ("statsd_prefix", "shop"),
    ("threads", "7"),
    ("timeout", "7"),
    ("umask", "027"),
    ("user", "7"),
    ("worker_class", "threaded"),
    ("worker_connections", "7"),
    ("workers", "7"),
    ("write_timeout", "7"),
];

#[test]
fn every_setting_means_the_same_from_each_source() {
    let default = Start::new().flags();
    for arg in flags::settings().get_arguments().filter(|arg| !arg.is_positional()) {
        let setting = arg.get_id().as_str();
        let value = VALUES.iter().find(|(name, _)| *name == setting).map(|(_, value)| *value);
        let value = value.unwrap_or_else(|| panic!("no value to try {setting} with"));
        let word = format!("--{}={value}", setting.replace('_', "-"));
        let typed = Start::new().words(&[&word]).flags();
        assert_ne!(typed, default, "{word}");
        assert_eq!(Start::new().variable(CMD_ARGS, &format!("'{word}'")).flags(), typed, "{word} in {CMD_ARGS}");
        assert_eq!(Start::new().file(&format!("{setting} = '{value}'")).flags(), typed, "{setting} in a file");
    }
}
