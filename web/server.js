export class ServerView { constructor(root){} show(){} }
