//! What people are told of one order and of one fault on every surface at once: the pages and the texts
//! of messages, in both languages. A surface that says less than the others is a fault of that surface.

mod limits;
mod places;

use super::text::Texts;
use super::told::{Renderer, Told};
use crate::config::Config;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use zhiban_core::{Duration, Language, Model, Notification};
use zhiban_dashboard::fixture::{Fixture, PASSWORD, TOKEN, USER};

const BOTH: [Language; 2] = [Language::ZhCn, Language::En];

/// The model of one asset, `X1`, of a profile that comes with the program.
fn model_of(profile: &str) -> Model {
    let text = |link: &str, rest: &str| {
        format!(
            "site = {{ code = \"t\", name = {{ zh = \"甲\", en = \"A\" }} }}\n\
             link.line.{link} = {{ host = \"h\" }}\n[[asset]]\ncode = \"X1\"\n\
             name = {{ zh = \"甲\", en = \"X\" }}\nprofile = \"{profile}\"\nlink = \"line\"\n{rest}\n"
        )
    };
    let file = Path::new("/nowhere/gateway.toml");
    let loaded = Config::parse(file, &text("modbus_tcp", "unit = 1"));
    let loaded = loaded.or_else(|_| Config::parse(file, &text("mqtt", "topic = \"x\"")));
    let loaded = loaded.unwrap_or_else(|faults| panic!("{profile}: {faults:?}"));
    (*loaded.model).clone()
}

/// Has a rule raise its alarm at once.
fn hurry(model: &mut Model, id: &str) {
    for bound in &mut model.rules {
        if bound.rule.id == id {
            let mut rule = (*bound.rule).clone();
            (rule.on_delay, rule.off_delay) = (Duration::ZERO, Duration::ZERO);
            bound.rule = Arc::new(rule);
        }
    }
}

/// A building whose pages a person looks at.
struct Stage {
    fixture: Fixture,
    renderer: Renderer,
    client: reqwest::Client,
    address: String,
    cookie: String,
    _server: JoinSet<()>,
}

impl Stage {
    async fn new(model: Model) -> Self {
        let renderer = Renderer {
            model: Arc::new(model.clone()),
            texts: Texts::built_in().unwrap(),
            url: None,
        };
        let fixture = Fixture::with(model);
        let router = zhiban_dashboard::router(fixture.app.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        // Whoever comes first installs it for all.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let form = [
            ("username", USER),
            ("password", PASSWORD),
            ("next", "/alarms"),
        ];
        let answer = client.post(format!("{address}/login")).form(&form);
        let answer = answer.header("sec-fetch-site", "same-origin").send();
        let answer = answer.await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            fixture,
            renderer,
            client,
            address,
            cookie,
            _server: server,
        }
    }

    async fn page(&self, path: &str, language: Language) -> String {
        let request = self.client.get(format!("{}{path}", self.address));
        let request = request.header("cookie", &self.cookie);
        let answer = request.header("accept-language", language.tag()).send();
        let answer = answer.await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }

    /// Sends something to the API, as another system does.
    async fn post(&self, path: &str, body: serde_json::Value) {
        let request = self.client.post(format!("{}/api/v1/{path}", self.address));
        let answer = request.bearer_auth(TOKEN).json(&body).send();
        let answer = answer.await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
    }

    /// Sends a form of a page.
    async fn form(&self, path: &str, fields: &[(&str, &str)]) {
        let request = self.client.post(format!("{}{path}", self.address));
        let request = request.header("cookie", &self.cookie).form(fields);
        let answer = request.header("sec-fetch-site", "same-origin").send();
        let answer = answer.await.unwrap();
        assert_eq!(
            answer.status(),
            303,
            "{path}: {}",
            answer.text().await.unwrap()
        );
    }

    /// Title and text of a message.
    fn message(&self, about: &Notification, language: Language) -> String {
        let told = Told::new(&self.renderer.model, about);
        let said = self.renderer.render(&told, language, false);
        format!("{}\n{}", said.title, said.text)
    }
}

/// A piece of a page, from a mark to the next other mark; empty when it is not there.
fn piece<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let rest = page.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or("", |(piece, _)| piece)
}

/// What a person reads of a piece.
fn plain(piece: &str) -> String {
    let mut text = String::new();
    // A piece may begin within a tag.
    let mut within = piece.find('>').is_some_and(|end| {
        let start = piece.find('<').unwrap_or(usize::MAX);
        end < start
    });
    for letter in piece.chars() {
        match letter {
            '<' => within = true,
            '>' => {
                within = false;
                text.push(' ');
            }
            letter if !within => text.push(letter),
            _ => {}
        }
    }
    let text = text.replace("&#38;", "&").replace("&#39;", "'");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
