//! Who may come in: the whole map of routes against every kind of caller.

use super::{Answer, Web, request};
use crate::fixture::{PASSWORD, PROXY, TOKEN, USER};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

/// Every route of the API by its OpenAPI document, with examples in place of parameters.
async fn routes(web: &Web) -> Vec<(Method, String)> {
    let document = web.get("/api/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let mut routes = Vec::new();
    for (path, item) in paths {
        let path = path
            .replace("{code}", "A3")
            .replace("{asset}", "A3")
            .replace("{point}", "floor")
            .replace("{key}", "A3%2Ffloor")
            .replace("{id}", "1")
            .replace("{no}", "WO-20260101-001");
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase().parse().unwrap();
            routes.push((method, path.clone()));
        }
    }
    routes
}

#[tokio::test]
async fn the_document_lists_every_route() {
    let web = Web::new();
    let found = routes(&web).await;
    let found: Vec<String> = found
        .iter()
        .map(|(method, path)| format!("{method} {}", path.trim_start_matches("/api/v1")))
        .collect();
    let mut expected = vec![
        "GET /session",
        "POST /session",
        "DELETE /session",
        "GET /assets",
        "GET /assets/A3",
        "GET /assets/A3/points",
        "GET /points/A3/floor/series",
        "GET /points/A3%2Ffloor/series",
        "GET /alarms",
        "GET /alarms/1",
        "POST /alarms/1/ack",
        "POST /alarms/1/shelve",
        "POST /alarms/1/unshelve",
        "POST /alarms/1/comment",
        "GET /work-orders",
        "POST /work-orders",
        "GET /work-orders/WO-20260101-001",
        "PATCH /work-orders/WO-20260101-001",
        "GET /work-orders/WO-20260101-001/transitions",
        "POST /work-orders/WO-20260101-001/transitions",
        "GET /work-orders/WO-20260101-001/comments",
        "POST /work-orders/WO-20260101-001/comments",
        "GET /work-orders/WO-20260101-001/parts",
        "POST /work-orders/WO-20260101-001/parts",
        "DELETE /work-orders/WO-20260101-001/parts/1",
        "GET /work-orders/WO-20260101-001/photos",
        "POST /work-orders/WO-20260101-001/photos",
        "GET /work-orders/WO-20260101-001/photos/1",
        "DELETE /work-orders/WO-20260101-001/photos/1",
        "GET /stream",
    ];
    let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let document = web.get("/api/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let asset = &document["components"]["schemas"]["Asset"]["required"];
    assert_eq!(asset.as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn nobody_passes_unsigned_but_where_it_is_open() {
    let web = Web::new();
    for (method, path) in routes(&web).await {
        if method == Method::POST && path == "/api/v1/session" {
            continue;
        }
        for headers in [
            &[][..],
            &[("authorization", "Bearer wrong")],
            &[("cookie", "zhiban_session=wrong")],
        ] {
            let mut headers = headers.to_vec();
            headers.push(("sec-fetch-site", "same-origin"));
            let answer = web
                .send(request(method.clone(), &path, &headers, None))
                .await;
            assert_eq!(
                answer.refusal(),
                (401, "auth.required".to_owned()),
                "{method} {path}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    for path in ["/metrics", "/api/openapi.json", "/api/v1/none", "/api/"] {
        let answer = web.send(request(Method::GET, path, &[], None)).await;
        assert_eq!(
            answer.refusal(),
            (401, "auth.required".to_owned()),
            "{path}"
        );
    }
    for path in ["/", "/assets", "/alarms?state=open", "/none"] {
        let answer = web.send(request(Method::GET, path, &[], None)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.header("location").starts_with("/login"), "{path}");
    }
    let answer = web
        .send(request(Method::GET, "/alarms?state=open", &[], None))
        .await;
    assert_eq!(
        answer.header("location"),
        "/login?next=/alarms%3Fstate%3Dopen"
    );
    for path in ["/healthz", "/readyz", "/static/robots.txt"] {
        let answer = web.send(request(Method::GET, path, &[], None)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_token_and_a_session_open_every_route() {
    let web = Web::new();
    let cookie = web.cookie().await;
    let bearer = format!("Bearer {TOKEN}");
    for (method, path) in routes(&web).await {
        if method == Method::DELETE || path == "/api/v1/stream" {
            continue;
        }
        for (name, value) in [
            ("authorization", bearer.as_str()),
            ("cookie", cookie.as_str()),
        ] {
            let headers = [(name, value), ("sec-fetch-site", "same-origin")];
            let answer = web
                .send(request(method.clone(), &path, &headers, None))
                .await;
            assert!(
                !matches!(answer.status.as_u16(), 401 | 403 | 405 | 500..),
                "{method} {path}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn a_page_that_is_a_fragment_is_led_to_sign_in() {
    let web = Web::new();
    let headers = [
        ("hx-request", "true"),
        ("hx-current-url", "http://box.lan:8080/alarms?state=open"),
    ];
    let answer = web.send(request(Method::GET, "/", &headers, None)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.header("hx-redirect"),
        "/login?next=/alarms%3Fstate%3Dopen&ended=1",
        "and told why"
    );
}

#[tokio::test]
async fn a_session_begins_and_ends() {
    let web = Web::new();
    let cookie = web.cookie().await;
    let who = async |cookie: &str| {
        let headers = [("cookie", cookie)];
        web.send(request(Method::GET, "/api/v1/session", &headers, None))
            .await
    };
    let answer = who(&cookie).await.json();
    assert_eq!(
        answer,
        json!({ "username": USER, "display_name": "李值班", "session": true })
    );
    let headers = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = web
        .send(request(Method::DELETE, "/api/v1/session", &headers, None))
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(who(&cookie).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signing_in_again_ends_the_session_it_came_with() {
    let web = Web::new();
    let old = web.cookie().await;
    let headers = [("cookie", old.as_str()), ("sec-fetch-site", "same-origin")];
    let again = sign_in(&web, PASSWORD, &headers).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
    let new = again.header("set-cookie").split(';').next().unwrap();
    for (cookie, status) in [
        (old.as_str(), StatusCode::UNAUTHORIZED),
        (new, StatusCode::OK),
    ] {
        let headers = [("cookie", cookie)];
        let who = request(Method::GET, "/api/v1/session", &headers, None);
        assert_eq!(web.send(who).await.status, status);
    }
}

async fn sign_in(web: &Web, password: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({ "username": USER, "password": password });
    web.send(request(
        Method::POST,
        "/api/v1/session",
        headers,
        Some(body),
    ))
    .await
}

#[tokio::test]
async fn the_cookie_is_as_strict_as_the_way_allows() {
    let web = Web::new();
    let plain = sign_in(&web, PASSWORD, &[]).await;
    let cookie = plain.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"));
    let secure = sign_in(&web, PASSWORD, &[("x-forwarded-proto", "https")]).await;
    let cookie = secure.header("set-cookie");
    assert!(cookie.contains("Secure") && cookie.starts_with("zhiban_session="));
}

/// A request that came over this connection.
fn from(peer: std::net::IpAddr, mut request: Request<Body>) -> Request<Body> {
    let info = ConnectInfo(std::net::SocketAddr::new(peer, 4711));
    request.extensions_mut().insert(info);
    request
}

/// A sign-in from one of our own pages.
fn signing_in(headers: &[(&str, &str)]) -> Request<Body> {
    let body = json!({ "username": USER, "password": PASSWORD });
    let all = [headers, &[("sec-fetch-site", "same-origin")]].concat();
    request(Method::POST, "/api/v1/session", &all, Some(body))
}

fn cookies(answer: &Answer) -> Vec<&str> {
    let set = answer.headers.get_all("set-cookie").iter();
    set.map(|one| one.to_str().unwrap()).collect()
}

#[tokio::test]
async fn over_tls_the_cookies_are_this_hosts_alone() {
    let web = Web::new();
    let forwarded = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "192.0.2.7"),
    ];
    let mut direct = signing_in(&[]);
    direct.extensions_mut().insert(crate::OverTls);
    for request in [from(PROXY, signing_in(&forwarded)), direct] {
        let signed = web.send(request).await;
        let cookies = cookies(&signed);
        assert_eq!(cookies.len(), 2);
        let names = ["__Host-zhiban_session=", "__Host-zhiban_device="];
        for (cookie, name) in cookies.iter().zip(names) {
            assert!(cookie.starts_with(name), "{cookie}");
            for part in ["; Secure", "; Path=/", "; HttpOnly"] {
                assert!(cookie.contains(part), "{cookie}");
            }
            assert!(!cookie.contains("Domain"), "{cookie}");
        }
    }
}

#[tokio::test]
async fn over_tls_no_planted_session_counts_and_both_cookies_go_at_the_end() {
    let web = Web::new();
    let tls = ("x-forwarded-proto", "https");
    let signed = web.send(from(PROXY, signing_in(&[tls]))).await;
    let cookie = signed.header("set-cookie").split(';').next().unwrap();
    let who = async |cookie: &str| {
        let who = request(
            Method::GET,
            "/api/v1/session",
            &[("cookie", cookie), tls],
            None,
        );
        web.send(from(PROXY, who)).await.status
    };
    let planted = cookie.replace("__Host-", "");
    assert_eq!(who(cookie).await, StatusCode::OK);
    assert_eq!(who(&planted).await, StatusCode::UNAUTHORIZED);
    let headers = [("cookie", cookie), tls, ("sec-fetch-site", "same-origin")];
    let out = request(Method::DELETE, "/api/v1/session", &headers, None);
    let out = web.send(from(PROXY, out)).await;
    let gone = cookies(&out);
    for (gone, name) in gone
        .iter()
        .zip(["zhiban_session=;", "__Host-zhiban_session=;"])
    {
        let over = gone.starts_with(name) && gone.contains("Max-Age=0");
        assert!(over, "{gone}");
    }
    assert_eq!(gone.len(), 2);
    assert_eq!(who(cookie).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_browser_that_was_signed_in_before_is_not_shut_out_by_others() {
    let web = Web::new();
    let signed = sign_in(&web, PASSWORD, &[]).await;
    let proof = signed.headers.get_all("set-cookie").iter().nth(1).unwrap();
    let proof = proof.to_str().unwrap().split(';').next().unwrap();
    for _ in 0..5 {
        sign_in(&web, "wrong", &[]).await;
    }
    let stranger = sign_in(&web, PASSWORD, &[]).await;
    assert_eq!(stranger.refusal(), (429, "rate.limited".to_owned()));
    let headers = [("cookie", proof), ("sec-fetch-site", "same-origin")];
    let known = sign_in(&web, PASSWORD, &headers).await;
    assert_eq!(known.status, StatusCode::NO_CONTENT);
    // Its own mistakes count all the same.
    for _ in 0..5 {
        let wrong = sign_in(&web, "wrong", &headers).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(sign_in(&web, PASSWORD, &headers).await.refusal().0, 429);
}

#[tokio::test]
async fn a_page_that_others_can_read_on_the_way_says_so() {
    let web = Web::new();
    let cookie = web.cookie().await;
    for (peer, proto, said) in [
        ([192, 0, 2, 7], "http", true),
        ([127, 0, 0, 1], "http", false),
        ([10, 9, 9, 9], "https", false),
    ] {
        for path in ["/login", "/"] {
            let headers = [
                (
                    "cookie",
                    if proto == "https" {
                        ""
                    } else {
                        cookie.as_str()
                    },
                ),
                ("x-forwarded-proto", proto),
                ("accept-language", "en"),
            ];
            let page = request(Method::GET, path, &headers, None);
            let page = web.send(from(std::net::IpAddr::from(peer), page)).await;
            assert_eq!(page.text.contains("not encrypted"), said, "{peer:?} {path}");
        }
    }
}

#[tokio::test]
async fn guessing_passwords_is_slowed() {
    let web = Web::new();
    for _ in 0..5 {
        let answer = sign_in(&web, "wrong", &[]).await;
        assert_eq!(answer.refusal(), (401, "auth.refused".to_owned()));
    }
    let answer = sign_in(&web, PASSWORD, &[]).await;
    assert_eq!(answer.refusal(), (429, "rate.limited".to_owned()));
    assert_eq!(answer.header("retry-after"), "15");
}

#[tokio::test]
async fn other_sites_cannot_act_for_who_is_signed_in() {
    let web = Web::new();
    web.fixture.trip();
    let path = format!("/api/v1/alarms/{}/comment", web.alarm("pump2_fault").await);
    let cookie = web.cookie().await;
    let post = async |headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie.as_str()), ("host", "box.lan:8080")];
        all.extend(headers);
        let body = json!({ "comment": "seen" });
        web.send(request(Method::POST, &path, &all, Some(body)))
            .await
    };
    let refused: [&[(&str, &str)]; 6] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://box.lan:8080"),
        ],
    ];
    for headers in refused {
        assert_eq!(
            post(headers).await.refusal(),
            (403, "csrf".to_owned()),
            "{headers:?}"
        );
    }
    for headers in [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("origin", "http://box.lan:8080"),
    ] {
        assert_eq!(
            post(&[headers]).await.status,
            StatusCode::NO_CONTENT,
            "{headers:?}"
        );
    }
    // A token is never sent by a browser on its own, so it needs no guard.
    let headers = [("origin", "http://evil.example")];
    let answer = web
        .ask(
            Method::POST,
            &path,
            &headers,
            Some(json!({ "comment": "by machine" })),
        )
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    // Another site cannot sign somebody in either.
    let answer = sign_in(&web, PASSWORD, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(answer.refusal(), (403, "csrf".to_owned()));
}

/// Every address of a page that takes a form, as the router has it, with examples in place of parameters.
fn forms() -> Vec<String> {
    let routes = include_str!("../pages.rs").split(".route(").skip(1);
    let posts = routes.filter(|route| route.contains("post("));
    let path = |route: &str| route.split('"').nth(1).unwrap().to_owned();
    posts
        .map(path)
        .map(|path| path.replace("{code}", "A3").replace("{id}", "1"))
        .map(|path| path.replace("{no}", "WO-20260101-001"))
        .collect()
}

#[tokio::test]
async fn no_route_that_changes_anything_takes_another_sites_word() {
    let web = Web::new();
    let cookie = web.cookie().await;
    let api = routes(&web).await;
    let pages = forms().into_iter().map(|path| (Method::POST, path));
    let all: Vec<_> = api.into_iter().chain(pages).collect();
    let changing = all.iter().filter(|(method, _)| !method.is_safe());
    assert!(changing.clone().count() > 20, "{all:?}");
    for (method, path) in changing {
        for site in [&[][..], &[("sec-fetch-site", "cross-site")]] {
            let mut headers = vec![("cookie", cookie.as_str())];
            headers.extend(site);
            let answer = web
                .send(request(method.clone(), path, &headers, None))
                .await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
        }
    }
    let headers = [("cookie", cookie.as_str())];
    let who = request(Method::GET, "/api/v1/session", &headers, None);
    assert_eq!(
        web.send(who).await.status,
        StatusCode::OK,
        "nobody was signed out"
    );
}

#[tokio::test]
async fn every_answer_carries_the_strict_headers() {
    let web = Web::new();
    for path in ["/login", "/api/v1/assets", "/none", "/static/robots.txt"] {
        let answer = web.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
    }
    assert_eq!(
        web.get("/api/v1/assets").await.header("cache-control"),
        "no-store"
    );
}

#[tokio::test]
async fn files_are_kept_by_version() {
    let web = Web::new();
    let url = crate::assets::url("robots.txt");
    let answer = web.get(&url).await;
    assert!(answer.header("cache-control").contains("immutable"));
    let plain = web.get("/static/robots.txt").await;
    assert_eq!(plain.header("cache-control"), "no-cache");
    let tag = plain.header("etag").to_owned();
    let headers = [("if-none-match", tag.as_str())];
    let again = web
        .ask(Method::GET, "/static/robots.txt", &headers, None)
        .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    for path in [
        "/static/none",
        "/static/../Cargo.toml",
        "/static/%2e%2e/Cargo.toml",
    ] {
        assert_eq!(web.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn readiness_names_what_fails() {
    let web = Web::new();
    let ready = web.get("/readyz").await;
    assert_eq!(
        ready.json(),
        json!({ "ready": true, "failing": Value::Array(vec![]), "degraded": ["influxdb"] })
    );
    web.fixture.break_store(true);
    let broken = web.send(request(Method::GET, "/readyz", &[], None)).await;
    assert_eq!(broken.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        broken.json(),
        json!({ "ready": false, "failing": ["journal"], "degraded": ["influxdb"] })
    );
    // Whoever restarts it is told the truth as well.
    let dead = web.send(request(Method::GET, "/healthz", &[], None)).await;
    assert_eq!(dead.status, StatusCode::SERVICE_UNAVAILABLE);
    web.fixture.break_store(false);
    // InfluxDB is away in this building, which is no reason to restart the gateway.
    let alive = web.send(request(Method::GET, "/healthz", &[], None)).await;
    assert_eq!(alive.status, StatusCode::OK);
}

#[test]
fn only_a_path_of_this_site_is_gone_back_to() {
    let safe = crate::auth::safe_next;
    assert_eq!(safe(Some("/alarms?state=open")), "/alarms?state=open");
    for bad in [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "x",
        "",
        "/a\r\nb",
    ] {
        assert_eq!(safe(Some(bad)), "/", "{bad}");
    }
    assert_eq!(safe(None), "/");
}
