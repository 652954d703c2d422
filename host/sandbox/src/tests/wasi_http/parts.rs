//! Parts of a request, headers, and what is not there.

use super::*;

#[tokio::test]
async fn a_request_needs_an_authority_and_sound_parts() {
    let (mut guest, notes) = quick();
    let fields = HostFields::new(&mut guest).unwrap();
    let request = HostOutgoingRequest::new(&mut guest, fields).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert!(guest.set_authority(borrow(&request), text("a/b")).unwrap().is_err());
    assert!(guest.set_path_with_query(borrow(&request), text("a b")).unwrap().is_err());
    assert!(guest.set_method(borrow(&request), Method::Other("A B".to_owned())).unwrap().is_err());
    assert!(guest.set_scheme(borrow(&request), Some(Scheme::Other("a:".to_owned()))).unwrap().is_err());
    assert!(matches!(HostOutgoingRequest::method(&mut guest, borrow(&request)).unwrap(), Method::Get));
    assert!(HostOutgoingRequest::authority(&mut guest, borrow(&request)).unwrap().is_none());
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::HttpRequestUriInvalid)));
    // Lower case is for the rules of the contract to refuse.
    let request = with(&mut guest, Method::Other("get".to_owned()), &[]);
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::HttpRequestMethodInvalid)));
    let request = with(&mut guest, Method::Get, &[("a", "é")]);
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::InternalError(_))));
    assert!(notes.lock().unwrap().calls.is_empty());
    let request = with(&mut guest, Method::Get, &[]);
    guest.set_path_with_query(borrow(&request), text("")).unwrap().unwrap();
    guest.handle(request, None).await.unwrap().unwrap();
    let notes = notes.lock().unwrap();
    assert!(matches!(&notes.calls[..], [Call::HttpStart { request }] if request.url == "https://a.example/"));
}

#[tokio::test]
async fn headers_are_built_and_read() {
    let (mut guest, _) = quick();
    let fields = HostFields::new(&mut guest).unwrap();
    let value = |text: &str| text.as_bytes().to_vec();
    let name = |text: &str| text.to_owned();
    guest.append(borrow(&fields), name("X-A"), value("1")).unwrap().unwrap();
    guest.append(borrow(&fields), name("x-a"), value("2")).unwrap().unwrap();
    HostFields::set(&mut guest, borrow(&fields), name("b"), vec![value("3")]).unwrap().unwrap();
    assert_eq!(HostFields::get(&mut guest, borrow(&fields), name("X-a")).unwrap(), [value("1"), value("2")]);
    assert!(guest.has(borrow(&fields), name("B")).unwrap() && !guest.has(borrow(&fields), name("c d")).unwrap());
    let copy = HostFields::clone(&mut guest, borrow(&fields)).unwrap();
    guest.delete(borrow(&fields), name("x-a")).unwrap().unwrap();
    assert_eq!(guest.entries(borrow(&fields)).unwrap(), [(name("b"), value("3"))]);
    assert_eq!(guest.entries(borrow(&copy)).unwrap().len(), 3, "a copy is its own");
    for (header, content, expected) in [
        ("a b", "1", HeaderError::InvalidSyntax),
        ("", "1", HeaderError::InvalidSyntax),
        ("a", "1\r\nb: 2", HeaderError::InvalidSyntax),
        ("Host", "a", HeaderError::Forbidden),
        ("connection", "a", HeaderError::Forbidden),
        ("Transfer-Encoding", "a", HeaderError::Forbidden),
    ] {
        let error = guest.append(borrow(&fields), name(header), value(content)).unwrap().unwrap_err();
        assert_eq!(format!("{error:?}"), format!("{expected:?}"), "{header}");
        let set = HostFields::set(&mut guest, borrow(&fields), name(header), vec![value(content)]).unwrap();
        assert!(set.is_err(), "{header}");
        assert!(guest.from_list(vec![(name(header), value(content))]).unwrap().is_err(), "{header}");
    }
    assert_eq!(guest.entries(borrow(&fields)).unwrap().len(), 1, "what is refused changes nothing");
    // Those of a request and of a response cannot be changed.
    let request = HostOutgoingRequest::new(&mut guest, copy).unwrap();
    let fixed = HostOutgoingRequest::headers(&mut guest, borrow(&request)).unwrap();
    let error = guest.append(borrow(&fixed), name("c"), value("1")).unwrap().unwrap_err();
    assert!(matches!(error, HeaderError::Immutable));
    assert!(guest.delete(borrow(&fixed), name("b")).unwrap().is_err());
    let future = get(&mut guest).await;
    let response = told(&mut guest, &future).await.unwrap().unwrap().unwrap();
    let received: Resource<Fields> = HostIncomingResponse::headers(&mut guest, borrow(&response)).unwrap();
    assert_eq!(guest.entries(borrow(&received)).unwrap()[0], (name("content-type"), value("text/plain")));
    assert!(guest.append(borrow(&received), name("c"), value("1")).unwrap().is_err());
    // The host does not hold them without end.
    let large = guest.append(borrow(&fields), name("large"), vec![b'a'; 65 * 1024]);
    assert!(large.unwrap_err().to_string().contains("64 KiB"));
}

#[tokio::test]
async fn there_are_no_requests_to_answer() {
    let (mut guest, _) = quick();
    let fields = HostFields::new(&mut guest).unwrap();
    assert!(HostOutgoingResponse::new(&mut guest, fields).unwrap_err().to_string().contains("no requests"));
    assert_eq!(guest.event_time(), START);
    assert!(Moment::default() < START);
}
