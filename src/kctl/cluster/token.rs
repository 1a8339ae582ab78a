//! `kctl cluster token`

use http::Method;
use serde::Deserialize;

use crate::failure::Failure;
use crate::masters::Masters;

#[derive(Deserialize)]
struct Issued {
    token: String,
}

/// Runs the verb.
pub async fn run(masters: &Masters) -> Result<String, Failure> {
    let issued = masters.ask::<Issued>(Method::POST, "/keelson/v1/node-tokens").await?;
    Ok(instructions(&issued.server, &issued.value.token))
}

fn instructions(server: &str, token: &str) -> String {
    format!(
        "Run this on each new node (the token lets nodes join within 24 hours):\n\n\
         keelson agent --server {server} --token {token}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_whole() {
        let text = instructions("https://10.0.0.1:6443", "a.b.c");
        let command = text.lines().nth(2);
        assert_eq!(command, Some("keelson agent --server https://10.0.0.1:6443 --token a.b.c"));
    }
}
