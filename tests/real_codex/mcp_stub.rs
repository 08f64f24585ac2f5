//! An MCP server on standard input and output, as a script for `sh`.

/// Returns a server with some tools, a JSON array. What it does for a call is in `calls`, patterns and commands of a
/// `case`, which matches the whole line; `answer` takes a result.
pub(crate) fn script(tools: &str, calls: &str) -> String {
    let initialized = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"stub","version":"1"}}"#;
    format!(
        r#"answer() {{ printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" "$1"; }}
while read -r line; do
    id=${{line#*'"id":'}}
    id=${{id%%[,\}}]*}}
    case $line in
        *'"initialize"'*) answer '{initialized}' ;;
        *'"tools/list"'*) answer '{{"tools":{tools}}}' ;;
        {calls}
    esac
done
"#
    )
}
